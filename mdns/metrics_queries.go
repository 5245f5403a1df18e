package mdns

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/wire"
	"dnsctl/zone"
)

// proto is how a request came.
type proto uint8

const (
	overUDP proto = iota
	overTCP
	overTLS
)

var protoLabels = [...]string{overUDP: "udp", overTCP: "tcp", overTLS: "tls"}

// countedTypes are told apart when requests are counted; all others are "other",
// so that the number of label values stays small.
var countedTypes = [...]zone.Type{zone.TypeA, zone.TypeNS, zone.TypeCNAME, zone.TypeSOA, zone.TypePTR, zone.TypeMX, zone.TypeTXT, zone.TypeAAAA,
	zone.TypeSRV, zone.TypeDS, zone.TypeDNSKEY, zone.TypeIXFR, zone.TypeAXFR, zone.TypeANY}

const countedRcodes = 24 // up to BADCOOKIE

// counts is requests answered, by how they came, type and rcode.
type counts [len(protoLabels)][len(countedTypes) + 1][countedRcodes]atomic.Uint64

func (c *counts) add(p proto, t zone.Type, r wire.Rcode) {
	i := slices.Index(countedTypes[:], t)
	if i < 0 {
		i = len(countedTypes)
	}
	c[p][i][min(r, countedRcodes-1)].Add(1)
}

// queryCounts is the metric of requests answered. Workers that answer many count
// each in a shard of its own, since a counter that two processors write to costs
// more than an answer; they are summed when somebody looks.
type queryCounts struct {
	desc   *prometheus.Desc
	shared counts

	mu     sync.Mutex
	shards []*counts
}

var _ prometheus.Collector = (*queryCounts)(nil)

func newQueryCounts() *queryCounts {
	return &queryCounts{desc: prometheus.NewDesc("dnsctl_mdns_queries_total", "Requests answered.", []string{"proto", "type", "rcode"}, nil)}
}

// shard is for one goroutine to count in.
func (q *queryCounts) shard() *counts {
	c := new(counts)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shards = append(q.shards, c)
	return c
}

// Describe implements prometheus.Collector.
func (q *queryCounts) Describe(ch chan<- *prometheus.Desc) { ch <- q.desc }

// Collect implements prometheus.Collector.
func (q *queryCounts) Collect(ch chan<- prometheus.Metric) {
	q.mu.Lock()
	shards := append([]*counts{&q.shared}, q.shards...)
	q.mu.Unlock()
	for p := range protoLabels {
		for t := range len(countedTypes) + 1 {
			for r := range countedRcodes {
				n := uint64(0)
				for _, c := range shards {
					n += c[p][t][r].Load()
				}
				if n > 0 {
					ch <- prometheus.MustNewConstMetric(q.desc, prometheus.CounterValue, float64(n), protoLabels[p], typeLabel(t), wire.Rcode(r).String())
				}
			}
		}
	}
}

func typeLabel(i int) string {
	if i < len(countedTypes) {
		return countedTypes[i].String()
	}
	return "other"
}

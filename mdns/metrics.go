package mdns

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a server. Labels take values from fixed sets only.
type metrics struct {
	queries        *queryCounts
	dropped        *prometheus.CounterVec // reason
	refused        *prometheus.CounterVec // reason
	tsigErrors     *prometheus.CounterVec // error
	badKeys        prometheus.Gauge
	transfers      map[string]transferCounters // by kind
	transfersNow   prometheus.Gauge
	conns          prometheus.Gauge
	connsTotal     prometheus.Counter
	connsClosed    *prometheus.CounterVec // reason
	tlsExpiry      prometheus.Gauge
	tlsBad         prometheus.Gauge
	cacheBytes     prometheus.Gauge
	cacheZones     prometheus.Gauge
	cacheHits      prometheus.Counter
	cacheLoads     *prometheus.CounterVec // how
	cacheEvictions prometheus.Counter
	zones          prometheus.Gauge
	position       prometheus.Gauge
	lag            prometheus.Gauge
	standbyEntries prometheus.Gauge
	standbySeconds prometheus.Gauge
	followed       prometheus.Gauge
	delay          prometheus.Histogram
	reloads        prometheus.Counter
	regressions    prometheus.Counter
}

func newMetrics(r *prometheus.Registry) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "dnsctl", Subsystem: "mdns", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "dnsctl", Subsystem: "mdns", Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "dnsctl", Subsystem: "mdns", Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	m := &metrics{
		queries:        newQueryCounts(),
		dropped:        vec("dropped_total", "Requests that got no answer.", "reason"),
		refused:        vec("refusals_total", "Requests refused.", "reason"),
		tsigErrors:     vec("tsig_errors_total", "Requests whose TSIG failed.", "error"),
		badKeys:        gauge("tsig_keys_unusable", "TSIG keys that could not be opened or used."),
		transfers:      map[string]transferCounters{},
		transfersNow:   gauge("transfers", "Zone transfers under way."),
		conns:          gauge("tcp_connections", "TCP connections open, those over TLS among them."),
		connsTotal:     counter("tcp_connections_total", "TCP connections accepted."),
		connsClosed:    vec("tcp_connections_closed_total", "TCP connections closed.", "reason"),
		tlsExpiry:      gauge("tls_certificate_expiry_timestamp_seconds", "End of validity of the TLS certificate in use; 0 without TLS."),
		tlsBad:         gauge("tls_files_unusable", "1 while the TLS files cannot be used and what was read before stays in use."),
		cacheBytes:     gauge("cache_bytes", "Estimated octets of zone content in memory."),
		cacheZones:     gauge("cache_zones", "Zones whose content is in memory."),
		cacheHits:      counter("cache_hits_total", "Requests that found the zone's content in memory."),
		cacheLoads:     vec("cache_loads_total", "Zone contents made current: by stored changes, read whole, or read together with others.", "how"),
		cacheEvictions: counter("cache_evictions_total", "Zone contents dropped for lack of room."),
		zones:          gauge("zones", "Zones in the index."),
		position:       gauge("feed_position", "Position in the change feed that the index is at."),
		lag:            gauge("feed_lag_entries", "Feed entries between the index and the store; below 0 while the store is behind."),
		standbyEntries: gauge("standby_lag_entries", "Feed entries that are committed and that the standby to read from has not brought yet; NaN while that is not known."),
		standbySeconds: gauge("standby_lag_seconds", "Age of the first of them."),
		followed:       gauge("feed_followed_timestamp_seconds", "When the last feed entries were applied."),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "dnsctl", Subsystem: "mdns", Name: "feed_delay_seconds", Help: "From a commit to its being served.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 60},
		}),
		reloads:     counter("index_loads_total", "Times the whole index was loaded."),
		regressions: counter("feed_regressions_total", "Times the store was found behind what has been served."),
	}
	r.MustRegister(m.delay, m.queries)
	ended := vec("transfers_total", "Zone transfers ended.", "kind", "result")
	octets := vec("transfer_bytes_total", "Octets of zone transfers sent.", "kind")
	records := vec("transfer_records_total", "Records of zone transfers sent.", "kind")
	for _, kind := range []string{"axfr", "ixfr", "ixfr-full"} {
		c := transferCounters{ended: map[string]prometheus.Counter{}, octets: octets.WithLabelValues(kind), records: records.WithLabelValues(kind)}
		for _, result := range []string{"done", "aborted", "failed"} {
			c.ended[result] = ended.WithLabelValues(kind, result)
		}
		m.transfers[kind] = c
	}
	return m
}

// transferCounters are those of one kind of transfer.
type transferCounters struct {
	ended           map[string]prometheus.Counter // by result
	octets, records prometheus.Counter
}

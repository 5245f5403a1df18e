package keeper

import (
	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/report"
)

// Metrics of the keeper.
type Metrics struct {
	leader  prometheus.Gauge
	tasks   *prometheus.GaugeVec
	done    *prometheus.CounterVec
	failed  *prometheus.CounterVec
	blocked *prometheus.GaugeVec
	drained *prometheus.GaugeVec
	zones   *prometheus.GaugeVec
	lag     *prometheus.GaugeVec
	notify  *NotifyMetrics

	catalogMembers, catalogHeld *prometheus.GaugeVec
}

// NewMetrics registers the keeper's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		notify: NewNotifyMetrics(reg),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dnsctl_leader", Help: "1 while this process leads."}),
		tasks: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_tasks", Help: "Zones of a server that are not proven converged."},
			[]string{"server"}),
		done:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dnsctl_tasks_done_total", Help: "Tasks that the wire has proven."}, []string{"server"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dnsctl_tasks_failed_total", Help: "Tries of tasks that did not end in agreement."}, []string{"server"}),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_server_blocked", Help: "1 while nothing is written to a server, with the reason: starting, unreachable, marker-missing, marker-wrong."},
			[]string{"server", "reason"}),
		drained: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_server_drained", Help: "1 while a server is out of service by dnsctl drain; it then has none of the other gauges."},
			[]string{"server"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_server_lag_seconds", Help: "Age of a server's oldest task: how long a change has not been proven there."},
			[]string{"server"}),
		zones: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_server_zones", Help: "Zones of a server by class, as the last periodic comparison found them."},
			[]string{"server", "class"}),
		catalogMembers: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_catalog_members", Help: "Members of a pool's catalog zone."}, []string{"pool"}),
		catalogHeld: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_catalog_held", Help: "Members that should leave a pool's catalog zone and are held back."},
			[]string{"pool"}),
	}
	reg.MustRegister(m.leader, m.tasks, m.done, m.failed, m.blocked, m.drained, m.zones, m.lag, m.catalogMembers, m.catalogHeld)
	return m
}

func (m *Metrics) block(server, reason string) {
	m.drained.DeleteLabelValues(server)
	m.blocked.DeletePartialMatch(prometheus.Labels{"server": server})
	if reason != "" {
		m.blocked.WithLabelValues(server, reason).Set(1)
	}
}

// rest leaves of a server's gauges only that it is drained.
func (m *Metrics) rest(server string) {
	m.forget(server)
	m.drained.WithLabelValues(server).Set(1)
}

// forget drops the gauges of a server that is not there any more.
func (m *Metrics) forget(server string) {
	for _, g := range []*prometheus.GaugeVec{m.tasks, m.lag, m.blocked, m.drained, m.zones} {
		g.DeletePartialMatch(prometheus.Labels{"server": server})
	}
}

// forgetCatalog drops the gauges of a catalog that is not there any more.
func (m *Metrics) forgetCatalog(pool string) {
	m.catalogMembers.DeleteLabelValues(pool)
	m.catalogHeld.DeleteLabelValues(pool)
}

func (m *Metrics) compared(server string, out report.Server) {
	for _, c := range report.Classes {
		m.zones.WithLabelValues(server, string(c)).Set(float64(out.Counts[c]))
	}
}

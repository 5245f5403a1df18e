package keeper

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/dnsclient"
)

// NotifyMetrics counts what Notifiers do; one outlives the terms of leadership.
// A nil one counts nothing.
type NotifyMetrics struct {
	notifies  *prometheus.CounterVec
	changes   *prometheus.CounterVec
	pending   *prometheus.GaugeVec
	lag       *prometheus.GaugeVec
	converged *prometheus.HistogramVec
}

// NewNotifyMetrics registers the notifier's metrics.
func NewNotifyMetrics(reg prometheus.Registerer) *NotifyMetrics {
	m := &NotifyMetrics{
		notifies: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dnsctl_notifies_total",
			Help: "NOTIFY messages by what came of them: ok, refused, timeout, tsig, other."}, []string{"server", "result"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dnsctl_changes_total",
			Help: "Changes of zones told to a server, by whether the wire has shown them there: proven, unproven."}, []string{"server", "result"}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_notify_pending",
			Help: "Zones of which a server is being told."}, []string{"server"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dnsctl_notify_lag_seconds",
			Help: "Age of the oldest change of which a server is being told."}, []string{"server"}),
		converged: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "dnsctl_convergence_seconds",
			Help:    "Time from hearing of a change until a server was seen to serve it.",
			Buckets: []float64{.05, .1, .2, .5, 1, 2, 5, 10, 30}}, []string{"server"}),
	}
	reg.MustRegister(m.notifies, m.changes, m.pending, m.lag, m.converged)
	return m
}

func (m *NotifyMetrics) sent(server string, err error) {
	if m == nil {
		return
	}
	result := "other"
	switch {
	case err == nil:
		result = "ok"
	case errors.Is(err, dnsclient.ErrRefused) || errors.Is(err, dnsclient.ErrNotAuth):
		result = "refused"
	case errors.Is(err, dnsclient.ErrTimeout):
		result = "timeout"
	case errors.Is(err, dnsclient.ErrTSIG):
		result = "tsig"
	}
	m.notifies.WithLabelValues(server, result).Inc()
}

func (m *NotifyMetrics) proven(server string, took time.Duration, err error) {
	if m == nil {
		return
	}
	if err != nil {
		m.changes.WithLabelValues(server, "unproven").Inc()
		return
	}
	m.changes.WithLabelValues(server, "proven").Inc()
	m.converged.WithLabelValues(server).Observe(took.Seconds())
}

// waiting shows the queue's length and the age of its oldest entry.
func (m *NotifyMetrics) waiting(server string, n int, lag time.Duration) {
	if m == nil {
		return
	}
	m.pending.WithLabelValues(server).Set(float64(n))
	m.lag.WithLabelValues(server).Set(lag.Seconds())
}

// forget drops the gauges of a server that is not told any more.
func (m *NotifyMetrics) forget(server string) {
	if m == nil {
		return
	}
	m.pending.DeleteLabelValues(server)
	m.lag.DeleteLabelValues(server)
}

package store

import (
	"context"
	"net"
	"time"
)

const (
	// postgresConnect is how long a connection may take where the URL has no
	// connect_timeout.
	postgresConnect = 10 * time.Second
	// postgresSilence is after how long without a sign of life of the other end a
	// connection is given up. Without it a query waits for a quarter of an hour for a
	// server behind a cut cable.
	postgresSilence = 15 * time.Second
)

// postgresDialer makes connections that notice when the way to PostgreSQL is cut.
// It implements pq.Dialer and pq.DialerContext.
type postgresDialer struct{}

func (postgresDialer) dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         postgresConnect,
		Control:         giveUpAfter(postgresSilence),
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: postgresSilence / 3, Interval: postgresSilence / 3, Count: 2},
	}
}

// Dial implements pq.Dialer.
func (d postgresDialer) Dial(network, address string) (net.Conn, error) {
	return d.dialer().Dial(network, address)
}

// DialTimeout implements pq.Dialer.
func (d postgresDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	n := d.dialer()
	n.Timeout = timeout
	return n.Dial(network, address)
}

// DialContext implements pq.DialerContext.
func (d postgresDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n := d.dialer()
	if _, bounded := ctx.Deadline(); bounded { // connect_timeout, which may be longer
		n.Timeout = 0
	}
	return n.DialContext(ctx, network, address)
}

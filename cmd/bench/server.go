package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"dnsctl/wire"
)

// server is what the same measures are made of: the mdns of a house, or a peer.
type server interface {
	desc() *place
	// start runs it and returns when it answers for its zones; how long that took
	// is returned.
	start(ctx context.Context) time.Duration
	stop()
	// used is the processor time so far, in seconds: its own, and that of the
	// database behind it, where that is a process.
	used() (own, database float64)
	pid() int
	// change makes the n-th version of the big zone after the one that was loaded:
	// another address of one name.
	change(ctx context.Context, n int)
}

// place is where a server is and what it has.
type place struct {
	name string // of the server in figures
	addr string
	key  wire.Key // of transfers
	ask  []string // zones that it answers for when it has started

	tlsAddr string      // where it transfers over TLS
	tls     *tls.Config // of its clients; nil where it does not
}

func (p *place) desc() *place { return p }

const (
	startPatience = 10 * time.Minute
	sampled       = 16 // of the small zones, of which a starting server is asked
)

// everything is the zones to ask for of a server that has all: the big one and
// some of the small ones, the first and the last among them.
func (b *bench) everything() []string {
	return append([]string{bigZone}, some(b.zones)...)
}

// some is a few of so many small zones.
func some(zones int) (names []string) {
	for i := range sampled {
		names = append(names, smallZone(i*(zones-1)/(sampled-1)))
	}
	return names
}

// errGone says that a server ended by itself.
var errGone = errors.New("it ended")

// serving waits until every zone of the place is answered for.
func (p *place) serving(ctx context.Context, gone func() bool) error {
	end := time.Now().Add(startPatience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, name := range p.ask {
		w, err := watchSOA(p.addr, name)
		if err != nil {
			return err
		}
		defer w.c.Close()
		w.wait = 50 * time.Millisecond
		for have := false; !have; <-tick.C {
			switch _, have, err = w.serial(); {
			case err != nil:
				return err
			case gone():
				return errGone
			case ctx.Err() != nil:
				return ctx.Err()
			case time.Now().After(end):
				return fmt.Errorf("zone %s is not answered for after %s", name, startPatience)
			}
		}
	}
	return nil
}

// loaded is the server of a name, running, with all zones.
func (b *bench) loaded(ctx context.Context, name string) server {
	if s := b.running[name]; s != nil {
		return s
	}
	var s server
	if k, ok := kindOf(name); ok {
		s = b.peer(ctx, b.bed, k)
	} else {
		h := b.house(ctx, b.bed, name)
		h.importBig(ctx, b.bigFile)
		h.importSmall(ctx)
		h.ask = b.everything()
		s = h
	}
	s.start(ctx)
	b.running[name] = s
	return s
}

// loadedHouse is loaded, of a store.
func (b *bench) loadedHouse(ctx context.Context, store string) *house {
	return b.loaded(ctx, store).(*house)
}

// leave ends the loaded server of a name.
func (b *bench) leave(name string) {
	if s := b.running[name]; s != nil {
		s.stop()
		delete(b.running, name)
	}
}

func kindOf(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

package keeper_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"dnsctl/sync/apply"
	"dnsctl/zone"
)

// TestACommandGetsTheLockOfAServerThatHasMuchToDo has a server that takes long for
// each zone.
func TestACommandGetsTheLockOfAServerThatHasMuchToDo(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		ns.Before = func(op string, _ zone.Name) error {
			if op == "add" || op == "delete" {
				<-time.After(300 * time.Millisecond)
			}
			return nil
		}
		s.start()
		s.pass(10 * time.Second)
		var names []string
		for i := range 150 {
			names = append(names, fmt.Sprintf("z%03d.example.", i))
		}
		s.Create(names...)
		commands := func(until string, done func() bool) {
			got := 0
			for ; !done(); got++ {
				s.pass(time.Second)
				if err := apply.WithLock(context.Background(), s.Store, "ns1", "a command", func(context.Context) error { return nil }); err != nil {
					s.T.Fatalf("command %d before %s: %v", got, until, err)
				}
			}
			if got < 5 {
				s.T.Errorf("only %d commands before %s: nothing took long", got, until)
			}
		}
		commands("all are there", func() bool { return ns.Has(names[len(names)-1]) && s.settled() })
		s.Delete(names...)
		commands("all are gone", func() bool { return !ns.Has(names[len(names)-1]) && s.settled() })
	})
}

func TestAServerThatACommandIsAtIsNotLookedThrough(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		var looks atomic.Int32
		ns.Before = func(op string, _ zone.Name) error {
			if op == "inventory" {
				looks.Add(1)
			}
			return nil
		}
		begun := make(chan struct{})
		done := make(chan error)
		go func() {
			done <- apply.WithLock(context.Background(), s.Store, "ns1", "a command", func(context.Context) error {
				close(begun)
				<-time.After(time.Minute)
				return nil
			})
		}()
		<-begun
		s.start()
		s.pass(50 * time.Second)
		if n := looks.Load(); n > 0 {
			s.T.Errorf("%d looks while a command is at it", n)
		}
		if err := <-done; err != nil {
			s.T.Error(err)
		}
		s.until("it is looked through", 10*time.Second, func() bool { return looks.Load() > 0 })
	})
}

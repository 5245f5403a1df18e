//go:build !race

package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/store"
	"dnsctl/store/storetest"
)

// TestBigImportKeepsNobodyWaiting commits from one store while another stages a
// big zone, and wants each commit within the second that users were promised, or on
// a busy machine within a small part of the import. (bench has the figures:
// import-wait.)
func TestBigImportKeepsNobodyWaiting(t *testing.T) {
	onBoth(t, func(t *testing.T, url string, _ *sqlx.DB) {
		importer := database(t, url, store.Options{})
		other, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		big := storetest.Content(t, "big.example.", 400_000)
		done := make(chan error, 1)
		go func() {
			c, err := importer.Stage(context.Background(), big)
			if err == nil {
				commit := create(big)
				commit.Creates[0].Content, commit.Creates[0].Staged = nil, c
				_, err = importer.Commit(context.Background(), commit)
			}
			done <- err
		}()
		var worst time.Duration
		begin, n := time.Now(), 0
		for running := true; running; n++ {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				running = false
			default:
			}
			start := time.Now()
			if _, err := other.Commit(t.Context(), create(storetest.Content(t, fmt.Sprintf("z%d.example.", n), 3))); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(start))
		}
		took := time.Since(begin)
		t.Logf("%d commits in the %v of the import, the slowest took %v", n, took, worst)
		if worst > max(time.Second, took/8) || n < 3 {
			t.Error("commits waited for it")
		}
	})
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
)

// TestOneWatchForAll: two controllers share the watch of a kind; that it ends and begins again ends neither's events.
func TestOneWatchForAll(t *testing.T) {
	w := newWorld(t, crd(oneCRD))
	w.mapper.served["One"] = true
	first, second := w.controller("first", w.kind(one, oneCRD)), w.controller("second", w.kind(one, oneCRD), w.configMaps())
	events := func(step string) {
		t.Helper()
		first.drain()
		second.drain()
		w.informers[one].Add(object("a"))
		w.informers[configMaps].Add(object("b"))
		if got := first.events(); !slices.Equal(got, []string{"first a"}) {
			t.Errorf("%s: first got %q", step, got)
		}
		if got := second.events(); !slices.Equal(got, []string{"second a", "second b"}) {
			t.Errorf("%s: second got %q", step, got)
		}
	}
	if _, did := w.ensure(); !slices.Equal(did, []string{"watch CustomResourceDefinition", "watch ConfigMap", "watch One"}) {
		t.Errorf("did %q", did)
	}
	events("at first")
	w.ensure()
	events("once more")
	if err := w.client.Delete(t.Context(), crd(oneCRD)); err != nil {
		t.Fatal(err)
	}
	w.ensure()
	if err := w.client.Create(t.Context(), crd(oneCRD)); err != nil {
		t.Fatal(err)
	}
	w.ensure()
	events("after the CRD came back")
}

// TestLateSubscriber: a controller that starts later gets the events of what is watched already.
func TestLateSubscriber(t *testing.T) {
	w := newWorld(t)
	w.watches.Add(w.configMaps())
	w.ensure()
	late := w.controller("late", w.configMaps())
	if _, did := w.ensure(); len(did) > 0 {
		t.Errorf("did %q", did)
	}
	w.informers[configMaps].Add(object("a"))
	if got := late.events(); !slices.Equal(got, []string{"late a"}) {
		t.Errorf("got %q", got)
	}
}

// TestWake: every controller is woken when a kind is first listed, is refused, and can be read again, once for each.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.unsynced[configMaps] = true
		c := w.controller("c", w.configMaps())
		woken := func(step string, want bool) {
			t.Helper()
			synctest.Wait()
			if got := c.drain(); slices.Contains(got, "c") != want {
				t.Errorf("%s: got %q", step, got)
			}
		}
		w.ensure()
		woken("the CRDs are listed", true)
		w.ensure()
		woken("nothing happened", false)
		w.answers(configMaps, typed, forbidden())
		woken("refused", true)
		w.answers(configMaps, typed, forbidden())
		woken("refused once more", false)
		w.answers(configMaps, typed, nil)
		woken("answered", true)
		w.answers(configMaps, typed, nil)
		woken("answered once more", false)
		w.informers[configMaps].Synced()
		woken("listed", true)
	})
}

// TestWaitForSync: a controller starts once each kind has been listed or refused, and in any case after some time.
func TestWaitForSync(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(*world)
		after  time.Duration
	}{
		"listed": {func(w *world) { w.informers[configMaps].Synced() }, 5 * time.Second},
		// The list of CRDs, which discovery could stand in for, has been seen long since.
		"refused":   {func(w *world) { w.answers(configMaps, typed, forbidden()) }, 5 * time.Second},
		"no answer": {func(*world) {}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, crd(oneCRD))
				w.mapper.served["One"], w.unsynced[configMaps] = true, true
				c := w.controller("c", w.configMaps(), w.kind(one, oneCRD))
				start, took := time.Now(), time.Duration(0)
				go func() {
					if err := c.WaitForSync(t.Context()); err != nil {
						t.Error(err)
					}
					took = time.Since(start)
				}()
				time.Sleep(5 * time.Second) // Of the bubble's clock.
				synctest.Wait()
				tc.answer(w)
				time.Sleep(time.Minute)
				synctest.Wait()
				if took != tc.after {
					t.Errorf("took %s, want %s", took, tc.after)
				}
				if !slices.Contains(w.did, "watch One") {
					t.Errorf("did %q: optional kinds are not watched before the first reconcile", w.did)
				}
			})
		})
	}
}

// TestNothingIsLeft: what waits for informers ends with the controllers.
func TestNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, crd(oneCRD))
		w.mapper.served["One"], w.unsynced[one], w.unsynced[configMaps] = true, true, true
		w.controller("c", w.configMaps(), w.kind(one, oneCRD))
		w.ensure()
		if err := w.client.Delete(t.Context(), crd(oneCRD)); err != nil {
			t.Fatal(err)
		}
		w.ensure()
	}) // It fails when a goroutine is left.
}

// TestFeed: a kind that its controller reflects by itself is reported like those of caches.
func TestFeed(t *testing.T) {
	w := newWorld(t)
	w.watches.Add(w.configMaps())
	listed := false
	c := w.controller("c")
	feed := w.watches.Reflect(configMaps, &fakeRequests{err: forbidden()}, func() bool { return listed })
	w.ensure()
	c.drain()
	if err := feed.Err(); !IsPending(err) {
		t.Errorf("at first: %v", err)
	}
	if _, err := toolscache.ToListerWatcherWithContext(feed.Requests()).ListWithContext(t.Context(), metav1.ListOptions{}); err == nil {
		t.Fatal("no error")
	}
	served, _ := w.ensure()
	if err := feed.Err(); err == nil || err.Pending || len(served.Unreadable) != 1 || served.State(configMaps) != Ready {
		t.Errorf("refused: %v; %+v", err, served)
	}
	if got := c.drain(); !slices.Equal(got, []string{"c"}) {
		t.Errorf("refused: woke %q", got)
	}
	feed.observer.note(t.Context(), &feed.observer.lists, nil)
	listed = true
	if err := feed.Err(); err != nil {
		t.Errorf("listed: %v", err)
	}
	feed.observer.note(t.Context(), &feed.observer.lists, forbidden())
	feed.Stop()
	if served, _ := w.ensure(); len(served.Unreadable) > 0 {
		t.Errorf("stopped: %v", served.Unreadable)
	}
}

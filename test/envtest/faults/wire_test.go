// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// errDead is what a program that has crashed gets from its requests: it cannot send any.
var errDead = errors.New("the operator has crashed")

// write is a request of the operator that changes something.
type write struct {
	verb string
	// object is its kind, namespace and name.
	object string
	// content distinguishes the writes of one object.
	content [sha256.Size]byte
	uid     types.UID
}

// String says it in words.
func (w write) String() string { return w.verb + " " + w.object }

// fault happens to writes.
type fault struct {
	// refuse returns what the API server answers instead of taking a write, and lose what the operator gets although it
	// was taken; nil for nothing.
	refuse, lose func(write) error
}

// wire stands between one operator and the API server. It knows each write of both of its clients, and can lose it, lose
// the answer to it, or end the operator after it.
type wire struct {
	fault *atomic.Pointer[fault]
	// wrote is called after each write that was taken.
	wrote func(write)
	// died is called once, when the operator has to end.
	died func()

	mutex      sync.Mutex
	writes     []write
	crashAfter int
	dead       bool
	calls      int
	lastWrite  time.Time
}

// crash ends the operator after its next n writes; 0 for not at all.
func (w *wire) crash(n int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.writes, w.crashAfter = nil, n
}

// stir says that something happens of which the operator does not know yet: it has not been quiet since.
func (w *wire) stir() { w.writing() }

// take returns the writes since the last call, or the last crash.
func (w *wire) take() []write {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	taken := w.writes
	w.writes = nil
	return taken
}

// quiet is true when the clients have been used, and nothing was written for a while.
func (w *wire) quiet(since time.Duration) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.calls > 0 && time.Since(w.lastWrite) > since
}

func (w *wire) isDead() bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.dead
}

// call notes a use of a client, which fails for the dead.
func (w *wire) call() error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.calls++
	if w.dead {
		return errDead
	}
	return nil
}

// send does one write, or what is to happen to it.
func (w *wire) send(about write, do func() error) error {
	if err := w.call(); err != nil {
		return err
	}
	w.writing()
	fault := w.fault.Load()
	if fault != nil && fault.refuse != nil {
		if err := fault.refuse(about); err != nil {
			return err
		}
	}
	err := do()
	w.writing() // It may have taken long.
	if err == nil && w.wrote != nil {
		w.wrote(about)
	}
	if err := w.call(); err != nil {
		return err // Another write was the last.
	}
	if w.count(about) {
		w.died()
		return errDead
	}
	if err == nil && fault != nil && fault.lose != nil {
		return fault.lose(about)
	}
	return err
}

// writing notes that a write begins or ends.
func (w *wire) writing() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.lastWrite = time.Now()
}

// count notes a write and returns whether it is the last of this life.
func (w *wire) count(about write) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.writes = append(w.writes, about)
	w.dead = w.crashAfter > 0 && len(w.writes) == w.crashAfter
	return w.dead
}

// newClient is for ctrl.Options and controller.Options.
func (w *wire) newClient(config *rest.Config, options client.Options) (client.Client, error) {
	inner, err := client.NewWithWatch(config, options)
	if err != nil {
		return nil, err
	}
	return interceptor.NewClient(inner, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if err := w.call(); err != nil {
				return err
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if err := w.call(); err != nil {
				return err
			}
			return c.List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			return w.send(about("create", object), func() error { return c.Create(ctx, object, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.UpdateOption) error {
			return w.send(about("update", object), func() error { return c.Update(ctx, object, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			return w.send(about("delete", object), func() error { return c.Delete(ctx, object, opts...) })
		},
		DeleteAllOf: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteAllOfOption) error {
			return w.send(about("delete all of", object), func() error { return c.DeleteAllOf(ctx, object, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return w.send(about("patch", object), func() error { return c.Patch(ctx, object, patch, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if options := (&client.ApplyOptions{}).ApplyOptions(opts); len(options.DryRun) > 0 {
				return errors.Join(w.call(), c.Apply(ctx, object, opts...)) // It changes nothing.
			}
			return w.send(about("apply", object), func() error { return c.Apply(ctx, object, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			return w.send(about("patch "+sub+" of", object), func() error { return c.SubResource(sub).Patch(ctx, object, patch, opts...) })
		},
	}), nil
}

func about(verb string, what any) write {
	object, ok := what.(client.Object)
	if !ok {
		return write{verb: verb, object: fmt.Sprintf("%T", what)}
	}
	known := object.DeepCopyObject().(client.Object)
	if kind, err := apiutil.GVKForObject(object, harness.Scheme); err == nil {
		known.GetObjectKind().SetGroupVersionKind(kind)
	}
	if u, ok := known.(*unstructured.Unstructured); ok {
		// A certificate that is issued once more is another one, and the same write.
		delete(u.Object, "data")
		unstructured.RemoveNestedField(u.Object, "spec", "caBundle")
	}
	content, err := json.Marshal(known)
	if err != nil {
		content = []byte(err.Error())
	}
	return write{verb: verb, object: harness.Identity(known), content: sha256.Sum256(content), uid: object.GetUID()}
}

// wrap is for harness.Conditions: nothing leaves a program that has crashed, from whichever client.
func (w *wire) wrap(next http.RoundTripper) http.RoundTripper {
	return harness.RoundTripper(func(request *http.Request) (*http.Response, error) {
		if w.isDead() {
			return nil, errDead
		}
		return next.RoundTrip(request)
	})
}

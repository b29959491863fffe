// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiunstructured "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// An error handler of a reflector gets a description of the objects' Go type, which is the same for all metadata and for kinds
// of one name, and it gets no successes. The API server's answers are therefore taken from the requests: each informer of a
// cache lists and watches through an observer.

// answer is the API server's last answer to an informer.
type answer struct {
	// err is nil when it last succeeded, or has not answered.
	err error
	// text is the error as it came.
	text string
	// definite is true for an error that does not pass by itself, such as a missing permission.
	definite bool
	// since is when it first failed after it last succeeded.
	since time.Time
}

// observer is the requests of one informer.
type observer struct {
	clock   clock.PassiveClock
	changed func()
	// locate names the object that an error is about; nil where none is found.
	locate func(context.Context) error

	mu sync.Mutex
	// lists and watches were answered this. A list says nothing about a watch: without the permission to watch, a reflector lists
	// again and again, and each list succeeds.
	lists, watches answer
}

// note records an answer to lists or to watches, and reports a change.
func (o *observer) note(ctx context.Context, to *answer, err error) {
	o.mu.Lock()
	last, before := *to, o.worst()
	o.mu.Unlock()
	var now answer
	switch {
	case ctx.Err() != nil: // The informer is being stopped.
		return
	case err == nil && last.err == nil, err != nil && last.text == err.Error():
		return
	case err != nil:
		now = answer{err: err, text: err.Error(), definite: definite(err), since: before.since}
		if before.err == nil {
			now.since = o.clock.Now()
		}
		if mayBeContent(err) {
			if found := o.locate(ctx); found != nil {
				now.err, now.definite = found, true
			}
		}
	}
	o.mu.Lock()
	*to = now
	after := o.worst()
	o.mu.Unlock()
	if after.text != before.text {
		o.changed()
	}
}

func (o *observer) answer() answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.worst()
}

// worst is the error of lists, after which nothing is watched, unless it may pass before that of watches does.
func (o *observer) worst() answer {
	if o.lists.err == nil || o.watches.definite && !o.lists.definite {
		return o.watches
	}
	return o.lists
}

// mayBeContent is true for an error that neither the API server nor the network gave: an object that cannot be decoded, which
// the error does not name.
func mayBeContent(err error) bool {
	var network net.Error
	return apierrors.ReasonForError(err) == metav1.StatusReasonUnknown && !errors.As(err, &network)
}

// definite is true for answers that stay the same until a person or another controller does something. All others, of a
// network or of an API server that restarts, count only when they last.
func definite(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) ||
		apierrors.IsMethodNotSupported(err) || apierrors.IsNotAcceptable(err)
}

// observe returns requests that are noted.
func (o *observer) observe(requests toolscache.ListerWatcher) *toolscache.ListWatch {
	inner := toolscache.ToListerWatcherWithContext(requests)
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := inner.ListWithContext(ctx, options)
			o.note(ctx, &o.lists, err)
			return list, err //nolint:wrapcheck // the reflector distinguishes errors
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			stream, err := inner.WatchWithContext(ctx, options)
			lists := options.SendInitialEvents != nil && *options.SendInitialEvents
			switch {
			case err == nil && o.answer().err != nil && lists:
				// It has succeeded once everything has been sent. Only then, so that a healthy stream passes nothing on twice.
				return watch.Filter(stream, func(event watch.Event) (watch.Event, bool) {
					if sentAll(event) {
						o.note(ctx, &o.lists, nil)
						o.note(ctx, &o.watches, nil)
					}
					return event, true
				}), nil
			case !lists: // The reflector lists after a failure of the other kind, and that answer counts.
				o.note(ctx, &o.watches, err)
			}
			return stream, err //nolint:wrapcheck // the reflector distinguishes errors
		},
	}
}

// sentAll is true for the event after the last of those objects that were there when a watch began.
func sentAll(event watch.Event) bool {
	object, ok := event.Object.(metav1.ObjectMetaAccessor)
	return ok && event.Type == watch.Bookmark && object.GetObjectMeta().GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
}

// last returns the worst that was answered about a kind. The caller has the lock.
func (w *Watches) last(of key) answer {
	var worst answer
	for _, o := range w.observers[of] {
		last := o.answer()
		if last.err == nil {
			continue
		}
		if worst.err == nil || last.definite && !worst.definite || last.definite == worst.definite && last.since.Before(worst.since) {
			worst = last
		}
	}
	return worst
}

// NewCache wraps the function that makes caches; nil stands for cache.New. Kinds of a cache that was made otherwise can be
// added all the same, but it is not known why they cannot be read. The options must have a scheme.
func (w *Watches) NewCache(next cache.NewCacheFunc) cache.NewCacheFunc {
	if next == nil {
		next = cache.New
	}
	return func(config *rest.Config, options cache.Options) (cache.Cache, error) {
		var made cache.Cache // It makes no informer before it is returned.
		options.NewInformer = func(
			requests toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers,
		) toolscache.SharedIndexInformer {
			kind, err := apiutil.GVKForObject(object, options.Scheme)
			if err != nil {
				return toolscache.NewSharedIndexInformer(requests, object, resync, indexers)
			}
			o := &observer{clock: w.clock, changed: w.changed,
				locate: func(ctx context.Context) error { return w.locate(ctx, kind, object, namespacesOf(options, kind)) }}
			of := key{cache: made, kind: kind, form: formOf(object)}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.observers[of] = append(w.observers[of], o)
			return toolscache.NewSharedIndexInformer(o.observe(requests), object, resync, indexers)
		}
		var err error
		made, err = next(config, options)
		return made, err
	}
}

// namespacesOf returns the namespaces whose objects of a kind a cache has; none for all of them.
func namespacesOf(options cache.Options, kind schema.GroupVersionKind) map[string]cache.Config {
	for object, by := range options.ByObject {
		if of, err := apiutil.GVKForObject(object, options.Scheme); err == nil && of == kind && by.Namespaces != nil {
			return by.Namespaces
		}
	}
	return options.DefaultNamespaces
}

// locate names the first object of a kind that cannot be decoded; nil where each can be. It lists what the cache does: the
// operator may not list more.
func (w *Watches) locate(ctx context.Context, kind schema.GroupVersionKind, object runtime.Object, in map[string]cache.Config) error {
	if w.cluster == nil || formOf(object) != typed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	if len(in) == 0 {
		in = map[string]cache.Config{metav1.NamespaceAll: {}}
	}
	for _, namespace := range slices.Sorted(maps.Keys(in)) {
		list := &apiunstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		where := &client.ListOptions{Namespace: namespace, FieldSelector: in[namespace].FieldSelector}
		if err := w.cluster.GetAPIReader().List(ctx, list, where); err != nil {
			continue // Nothing was found.
		}
		for i := range list.Items {
			raw, err := list.Items[i].MarshalJSON()
			if err != nil {
				continue
			}
			decoded, err := w.cluster.GetScheme().New(kind)
			if err != nil {
				continue
			}
			if err := json.Unmarshal(raw, decoded); err != nil {
				return fmt.Errorf("%s %s cannot be decoded: %w", kind.Kind, client.ObjectKeyFromObject(&list.Items[i]), err)
			}
		}
	}
	return nil
}

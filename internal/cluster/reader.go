// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// reader reads from a cache without ever waiting for it.
type reader struct {
	watches *Watches
	reader  client.Reader
	cache   cache.Cache
}

// Reader returns r, which reads from a cache, such that it never waits: of a kind that was added to the watches it returns an
// *UnreadableError at once where the cache does not have all that was to be read, and a *meta.NoKindMatchError where the kind
// is not served. Without that, a read waits for ever for a kind that the operator may not list. Of a kind whose watch has
// failed since, it returns what was last seen. Reads of other kinds are passed on as they are.
func (w *Watches) Reader(r client.Reader, of cache.Cache) client.Reader {
	return &reader{watches: w, reader: r, cache: of}
}

// Client returns c with the reads of Reader.
func (w *Watches) Client(c client.Client, of cache.Cache) client.Client {
	return &patientClient{Client: c, reads: w.Reader(c, of)}
}

// patientClient writes as one client and reads as another.
type patientClient struct {
	client.Client
	reads client.Reader
}

// Get reads one object.
func (c *patientClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.reads.Get(ctx, key, object, options...)
}

// List reads objects of one kind.
func (c *patientClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.reads.List(ctx, list, options...)
}

// Get reads one object.
func (r *reader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return r.read(ctx, object, key.Namespace, func(ctx context.Context) error {
		return r.reader.Get(ctx, key, object, options...)
	})
}

// List reads objects of one kind.
func (r *reader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	where := (&client.ListOptions{}).ApplyOptions(options).Namespace
	return r.read(ctx, list, where, func(ctx context.Context) error {
		return r.reader.List(ctx, list, options...)
	})
}

// read reads at once or not at all.
func (r *reader) read(ctx context.Context, object runtime.Object, namespace string, read func(context.Context) error) error {
	kind, err := apiutil.GVKForObject(object, r.watches.cluster.GetScheme())
	if err != nil {
		return err //nolint:wrapcheck // the caller knows what was read
	}
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	state, unreadable, known := r.watches.lookup(key{cache: r.cache, kind: kind, form: formOf(object)})
	switch {
	case !known || state == Ready || unreadable != nil && unreadable.Stale:
		return read(ctx)
	case state == Absent:
		return &meta.NoKindMatchError{GroupKind: kind.GroupKind(), SearchedVersions: []string{kind.Version}}
	}
	// A cache looks at the context only while it waits: with one that has ended it reads what it has. In a cache of several
	// namespaces, the others can be read.
	ended, end := context.WithCancel(ctx)
	end()
	if err := read(ended); !apierrors.IsTimeout(err) || unreadable == nil {
		return err
	}
	unreadable.Namespace = namespace
	return unreadable
}

// form of the objects in a cache: each form of a kind has an informer of its own.
type form string

const (
	typed        form = "typed"
	metadata     form = "metadata"
	unstructured form = "unstructured"
)

// key names an informer, or one for each namespace of the cache.
type key struct {
	cache cache.Cache
	kind  schema.GroupVersionKind
	form  form
}

func formOf(object runtime.Object) form {
	switch object.(type) {
	case *metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList:
		return metadata
	case runtime.Unstructured:
		return unstructured
	default:
		return typed
	}
}

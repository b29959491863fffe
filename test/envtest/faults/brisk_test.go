// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// briskPoll is how often a brisk cache looks whether it is filled.
const briskPoll = 2 * time.Millisecond

// briskCache is a cache like any other, but that it notices at once when it is filled. Informers look every 100 ms, several
// times one after another at a start, and there are hundreds of starts.
type briskCache struct {
	cache.Cache
	scheme *runtime.Scheme

	mutex  sync.Mutex
	filled map[string]bool
}

// newBriskCache is for ctrl.Options and controller.Options.
func newBriskCache(config *rest.Config, options cache.Options) (cache.Cache, error) {
	inner, err := cache.New(config, options)
	return &briskCache{Cache: inner, scheme: options.Scheme, filled: map[string]bool{}}, err
}

// GetInformer implements cache.Informers.
func (c *briskCache) GetInformer(ctx context.Context, object client.Object, opts ...cache.InformerGetOption) (cache.Informer, error) {
	informer, err := c.Cache.GetInformer(ctx, object, append(opts, cache.BlockUntilSynced(false))...)
	if err != nil {
		return nil, err
	}
	wanted := cache.InformerGetOptions{}
	for _, option := range opts {
		option(&wanted)
	}
	if wanted.BlockUntilSynced == nil || *wanted.BlockUntilSynced {
		until(ctx, informer.HasSynced)
	}
	return briskInformer{informer}, nil
}

// RemoveInformer implements cache.Informers.
func (c *briskCache) RemoveInformer(ctx context.Context, object client.Object) error {
	c.mutex.Lock()
	c.filled = map[string]bool{}
	c.mutex.Unlock()
	return c.Cache.RemoveInformer(ctx, object)
}

// Get implements client.Reader.
func (c *briskCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if err := c.fill(ctx, object); err != nil {
		return err
	}
	return c.Cache.Get(ctx, key, object, opts...)
}

// List implements client.Reader.
func (c *briskCache) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if err := c.fill(ctx, list); err != nil {
		return err
	}
	return c.Cache.List(ctx, list, opts...)
}

// fill waits until there is what is to be read, an object or a list.
func (c *briskCache) fill(ctx context.Context, of runtime.Object) error {
	kind, err := apiutil.GVKForObject(of, c.scheme)
	if err != nil {
		return err
	}
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	id := fmt.Sprintf("%T %s", of, kind)
	c.mutex.Lock()
	filled := c.filled[id]
	c.mutex.Unlock()
	if filled {
		return nil
	}
	var object client.Object
	switch of.(type) {
	case *metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList:
		only := &metav1.PartialObjectMetadata{}
		only.SetGroupVersionKind(kind)
		object = only
	default:
		typed, err := c.scheme.New(kind)
		if err != nil {
			return err
		}
		object = typed.(client.Object)
	}
	if _, err := c.GetInformer(ctx, object); err != nil {
		return err
	}
	c.mutex.Lock()
	c.filled[id] = true
	c.mutex.Unlock()
	return nil
}

// briskInformer adds handlers that have seen everything.
type briskInformer struct{ cache.Informer }

// AddEventHandlerWithOptions implements cache.Informer.
func (i briskInformer) AddEventHandlerWithOptions(
	handler toolscache.ResourceEventHandler, options toolscache.HandlerOptions,
) (toolscache.ResourceEventHandlerRegistration, error) {
	registration, err := i.Informer.AddEventHandlerWithOptions(handler, options)
	if err != nil {
		return nil, err
	}
	until(context.Background(), registration.HasSynced)
	return registration, nil
}

// until waits for something that takes milliseconds; for whatever takes long, informers wait themselves.
func until(ctx context.Context, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = wait.PollUntilContextCancel(ctx, briskPoll, true, func(context.Context) (bool, error) { return done(), nil })
}

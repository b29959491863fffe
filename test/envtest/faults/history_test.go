// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	toolscache "k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// event is a change of one object. Revisions are etcd's, so those of different kinds have one order.
type event struct {
	revision uint64
	deleted  bool
	object   *unstructured.Unstructured
	// tampered is true while a test changes what is trusted itself.
	tampered bool
	arrived  time.Time
}

// state is what exists at a revision, by kind and name.
type state map[string]*unstructured.Unstructured

func (s state) find(kind, name string) *unstructured.Unstructured { return s[kind+" "+name] }

// history is every change of the objects that the rules are about.
type history struct {
	mutex sync.Mutex
	// pending are the events that have not been judged yet, and now the state before them.
	pending []event
	now     state
	// removed are the objects that the operator deleted; removals says which was deleted last of a kind and name.
	removed  map[types.UID]bool
	removals map[string]types.UID
	lenient  bool
}

// watched are the kinds that the rules are about.
var watched = map[schema.GroupVersionResource]string{
	{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}: "",
	{Group: "apps", Version: "v1", Resource: "deployments"}:                   harness.OperatorNamespace,
	{Version: "v1", Resource: "services"}:                                     harness.OperatorNamespace,
	{Version: "v1", Resource: "secrets"}:                                      harness.OperatorNamespace,
}

// startHistory begins to write down what happens, until the context ends.
func startHistory(ctx context.Context, c *harness.Cluster) (*history, error) {
	h := &history{now: state{}, removed: map[types.UID]bool{}, removals: map[string]types.UID{}}
	dynamicClient, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	for resource, namespace := range watched {
		of := dynamicClient.Resource(resource).Namespace(namespace)
		list, err := of.List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			h.now[list.Items[i].GetKind()+" "+list.Items[i].GetName()] = &list.Items[i]
		}
		watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &toolscache.ListWatch{
			WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
				return of.Watch(ctx, options)
			},
		})
		if err != nil {
			return nil, err
		}
		go h.read(watcher.ResultChan())
	}
	return h, nil
}

func (h *history) read(events <-chan watch.Event) {
	for e := range events {
		object, ok := e.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		revision, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
		if err != nil || e.Type == watch.Bookmark {
			continue
		}
		h.mutex.Lock()
		h.pending = append(h.pending, event{revision, e.Type == watch.Deleted, object, h.lenient, time.Now()})
		h.mutex.Unlock()
	}
}

// tampering says that a test itself changes what is trusted, or no longer does.
func (h *history) tampering(is bool) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.lenient = is
}

// wrote is for wire.wrote.
func (h *history) wrote(w write) {
	if w.verb == "delete" {
		h.mutex.Lock()
		defer h.mutex.Unlock()
		h.removed[w.uid] = true
	}
}

// judge returns the rules that were broken since the last call. What has just arrived is left for the next: the order of
// kinds is only known when the events of all have arrived.
func (h *history) judge(settle time.Duration) []string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	slices.SortStableFunc(h.pending, func(a, b event) int { return cmp.Compare(a.revision, b.revision) })
	var broken []string
	for len(h.pending) > 0 && time.Since(h.pending[0].arrived) >= settle {
		broken = append(broken, h.apply(h.pending[0])...)
		h.pending = h.pending[1:]
	}
	return broken
}

// apply puts one event on the state and returns the rules that it breaks.
func (h *history) apply(e event) []string {
	kind, name := e.object.GetKind(), e.object.GetName()
	id := kind + " " + name
	if e.deleted {
		delete(h.now, id)
		h.removals[id] = e.object.GetUID()
		return h.afterDeletion(e)
	}
	_, existed := h.now[id]
	h.now[id] = e.object
	var broken []string
	if kind == "APIService" && leadsToUs(e.object) {
		broken = append(broken, h.registered(e, !existed)...)
	}
	if (kind == "Secret" || kind == "APIService") && !e.tampered {
		broken = append(broken, h.trusted(e)...)
	}
	return broken
}

// registered: an APIService verifies what it leads to, and leads to something when it is made.
func (h *history) registered(e event, isNew bool) []string {
	var broken []string
	skip, _, _ := unstructured.NestedBool(e.object.Object, "spec", "insecureSkipTLSVerify")
	bundle, _, _ := unstructured.NestedString(e.object.Object, "spec", "caBundle")
	if skip || bundle == "" {
		broken = append(broken, fmt.Sprintf("revision %d: APIService %s verifies no certificate: insecureSkipTLSVerify is %t, caBundle has %d bytes",
			e.revision, e.object.GetName(), skip, len(bundle)))
	}
	backend, _, _ := unstructured.NestedString(e.object.Object, "spec", "service", "name")
	for _, kind := range []string{"Service", "Deployment"} {
		uid, gone := h.removals[kind+" "+backend]
		byOthers := gone && !h.removed[uid]
		if isNew && h.now.find(kind, backend) == nil && !byOthers {
			broken = append(broken, fmt.Sprintf("revision %d: APIService %s was made when there was no %s %s",
				e.revision, e.object.GetName(), kind, backend))
		}
	}
	return broken
}

// afterDeletion: the operator removes nothing that an APIService leads to.
func (h *history) afterDeletion(e event) []string {
	kind, name := e.object.GetKind(), e.object.GetName()
	if kind != "Service" && kind != "Deployment" || !h.removed[e.object.GetUID()] {
		return nil
	}
	var broken []string
	for _, object := range h.now {
		backend, _, _ := unstructured.NestedString(object.Object, "spec", "service", "name")
		if object.GetKind() == "APIService" && leadsToUs(object) && backend == name {
			broken = append(broken, fmt.Sprintf("revision %d: the operator deleted %s %s, to which APIService %s still led",
				e.revision, kind, name, object.GetName()))
		}
	}
	return broken
}

// trusted: no Secret has a serving certificate before the APIServices of its component trust it.
func (h *history) trusted(e event) []string {
	var broken []string
	for _, object := range h.now {
		if object.GetKind() != "APIService" || !leadsToUs(object) {
			continue
		}
		backend, _, _ := unstructured.NestedString(object.Object, "spec", "service", "name")
		secret := h.now.find("Secret", backend+"-tls")
		if secret == nil {
			continue
		}
		leaf := pairIn(secret)
		bundle, _, _ := unstructured.NestedString(object.Object, "spec", "caBundle")
		decoded, _ := base64.StdEncoding.DecodeString(bundle)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(decoded)
		if leaf == nil {
			continue
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
			broken = append(broken, fmt.Sprintf("revision %d (%s %s): APIService %s does not trust the certificate in Secret %s: %v",
				e.revision, e.object.GetKind(), e.object.GetName(), object.GetName(), secret.GetName(), err))
		}
	}
	return broken
}

// leadsToUs is true for the registration of one of our backends.
func leadsToUs(apiService *unstructured.Unstructured) bool {
	namespace, _, _ := unstructured.NestedString(apiService.Object, "spec", "service", "namespace")
	return namespace == harness.OperatorNamespace
}

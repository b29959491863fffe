// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apply writes objects by server-side apply under one field manager, finds drift in the watch cache, leaves foreign
// objects alone, and prunes.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

// Result is what an apply did.
type Result int

// Results.
const (
	// Unchanged means that nothing was sent.
	Unchanged Result = iota
	// Created means that the object did not exist.
	Created
	// Configured means that the desired object had changed.
	Configured
	// Repaired means that another writer had changed or deleted what the operator wrote.
	Repaired
	// Replaced means that the API server refused to change an immutable field, so the object was deleted to be made anew. Where
	// that takes longer than the call, as for a Deployment, whose pods keep serving, the event of its deletion brings the
	// caller back to make it, and Behind is true for the object that is being deleted.
	Replaced
)

// NameTakenError means that a foreign object has the name. It is left alone.
type NameTakenError struct {
	// Object is its kind, namespace and name.
	Object string
	// Manager is the field manager that made it; empty where that is not known.
	Manager string
}

func (e *NameTakenError) Error() string {
	by := "another owner"
	if e.Manager != "" {
		by = fmt.Sprintf("the field manager %q", e.Manager)
	}
	return fmt.Sprintf("%s was made by %s and is left alone; delete it, or label it %s=%s to hand it over",
		e.Object, by, v1alpha1.ManagedLabel, v1alpha1.SingletonName)
}

// Applier writes objects. Its methods are for one goroutine.
type Applier struct {
	// client reads from the watch cache and writes to the API server.
	client client.Client
	// live reads from the API server.
	live client.Reader
	// clock measures how long a contest lasts.
	clock clock.PassiveClock

	applied map[string]record
	// contests are those of each object by the kind of loss, and spec is the version of the spec that they are about.
	contests map[string]map[string]*contest
	spec     string
	// refusals are what the API server refused. It is sent again after retryRefused, by retryClock.
	refusals     map[content]refusal
	retryRefused time.Duration
	retryClock   clock.PassiveClock
	// replaced are the objects that are being deleted to be made anew, and swept the components without orphans.
	replaced map[string]types.UID
	swept    map[types.NamespacedName]bool
}

// record is what was last applied of an object.
type record struct {
	wanted [sha256.Size]byte
	uid    types.UID
	// generation that the API server answered; the cache is behind as long as it shows an earlier one.
	generation int64
	// resourceVersion that the API server answered.
	resourceVersion string
	// fields are our entry in managedFields after the write. A writer that changes one of them takes it over, so as long as the
	// entry stays the same, so do the fields.
	fields string
}

// New returns an applier that reads from the cache of c and, before it creates, from live. What the API server refused is sent
// again after retryRefused.
func New(c client.Client, live client.Reader, contests clock.PassiveClock, retryRefused time.Duration) *Applier {
	return &Applier{client: c, live: live, clock: contests, applied: map[string]record{}, contests: map[string]map[string]*contest{},
		refusals: map[content]refusal{}, retryRefused: retryRefused, retryClock: clock.RealClock{},
		replaced: map[string]types.UID{}, swept: map[types.NamespacedName]bool{}}
}

// Apply writes an object. It sends nothing when the cache shows that the fields are still those of the last write. It returns
// a NameTakenError for a foreign object and, without a write, a ContestedError for what another writer keeps undoing and a
// RefusedError for what the API server has refused. For a wanted object with a UID or resourceVersion, the API server answers a
// conflict where the existing one has another, or none exists. The wanted object is not changed.
func (a *Applier) Apply(ctx context.Context, wanted *unstructured.Unstructured) (Result, error) {
	return a.apply(ctx, wanted, false)
}

// TakeOver is Apply for a foreign object that the policy lets the operator take over: one write changes fields and owner.
func (a *Applier) TakeOver(ctx context.Context, wanted *unstructured.Unstructured) (Result, error) {
	return a.apply(ctx, wanted, true)
}

func (a *Applier) apply(ctx context.Context, wanted *unstructured.Unstructured, takeOver bool) (Result, error) {
	id := ownership.Identity(wanted)
	digest, err := digestOf(wanted)
	if err != nil {
		return Unchanged, fmt.Errorf("%s: %w", id, err)
	}
	w := write{wanted: wanted, content: content{id, digest}}
	if w.before, err = a.cached(ctx, wanted); err != nil {
		return Unchanged, err
	}
	w.last, w.known = a.applied[id]
	w.tryFirst = w.before == nil && !w.known && !takeOver && guarded(wanted)
	if w.before == nil && !w.tryFirst {
		if w.before, err = a.mayCreate(ctx, wanted, takeOver); err != nil {
			return Unchanged, err
		}
	}
	if w.before != nil && a.isReplaced(id, w.before) {
		return Unchanged, nil // The event of its deletion makes it anew.
	}
	if w.before != nil && w.accepted() && w.last.uid == w.before.GetUID() && w.last.fields == ownership.AppliedFields(w.before) {
		a.conceded(id)
		return Unchanged, nil
	}
	if w.before != nil || !a.isReplaced(id, nil) { // The operator's own deletion is no loss.
		w.lost = lossOf(w.before, w.last, w.known)
	}
	if w.lost != nil {
		if err := a.mayRepair(id, w.lost); err != nil {
			return Unchanged, err
		}
	}
	if err := a.refused(ctx, wanted, w.content, !w.mayReclaim()); err != nil {
		return Unchanged, err
	}
	return a.write(ctx, w)
}

// write is one write of an object.
type write struct {
	wanted  *unstructured.Unstructured
	content content
	// before is the observed object; nil where there is none.
	before client.Object
	// last is what was written before, if known.
	last  record
	known bool
	lost  *loss
	// tryFirst is true where the API server itself refuses to merge the object into a foreign one.
	tryFirst bool
}

// accepted is true for content that the API server took before.
func (w write) accepted() bool { return w.known && w.last.wanted == w.content.digest }

// mayReclaim is true where another writer's edit may have caused a refusal. New content may itself be wrong.
func (w write) mayReclaim() bool { return w.before != nil && (!w.known || w.accepted()) }

// write sends an object, replaces it where that is the only way, and records the outcome.
func (a *Applier) write(ctx context.Context, w write) (Result, error) {
	var sent *unstructured.Unstructured
	var err error
	if w.tryFirst {
		sent, w.before, err = a.create(ctx, w.wanted)
	} else {
		sent, err = a.send(ctx, w.wanted, w.mayReclaim())
	}
	replaced := replaceable(w.wanted, err)
	if replaced {
		sent, err = a.replace(ctx, w, err)
	}
	if err != nil {
		return Unchanged, a.failed(w.content, err)
	}
	result := Replaced
	if sent != nil {
		now := record{wanted: w.content.digest, uid: sent.GetUID(), generation: sent.GetGeneration(),
			resourceVersion: sent.GetResourceVersion(), fields: ownership.AppliedFields(sent)}
		a.remember(w.content, now)
		if !replaced {
			result = outcome(w.before, w.last, w.known, now)
		}
	}
	if w.lost != nil && result != Unchanged {
		a.repaired(w.content.id, w.lost)
	}
	return result, nil
}

// Behind is true when a cached object is older than the last write, or is being replaced.
func (a *Applier) Behind(cached client.Object, id string) bool {
	if a.isReplaced(id, cached) {
		return true
	}
	last, known := a.applied[id]
	return known && last.uid == cached.GetUID() && cached.GetGeneration() < last.generation
}

// outcome is what a write did, for the Events. before is the observed object, and last what was written before, if known. A
// write that changed no resourceVersion did nothing: the cache was behind an earlier one.
func outcome(before client.Object, last record, known bool, now record) Result {
	switch {
	case known && last.resourceVersion == now.resourceVersion,
		before != nil && before.GetResourceVersion() == now.resourceVersion:
		return Unchanged
	case known && last.wanted == now.wanted:
		return Repaired
	case before == nil:
		return Created
	default:
		return Configured
	}
}

// remember records what was written.
func (a *Applier) remember(c content, r record) {
	a.applied[c.id] = r
	delete(a.refusals, c)
	delete(a.replaced, c.id)
}

// Forget drops all that is known of the objects of a namespace, which is gone.
func (a *Applier) Forget(namespace string) {
	in := func(id string) bool {
		_, name, _ := strings.Cut(id, " ")
		return strings.HasPrefix(name, namespace+"/")
	}
	maps.DeleteFunc(a.applied, func(id string, _ record) bool { return in(id) })
	maps.DeleteFunc(a.contests, func(id string, _ map[string]*contest) bool { return in(id) })
	maps.DeleteFunc(a.refusals, func(c content, _ refusal) bool { return in(c.id) })
	maps.DeleteFunc(a.replaced, func(id string, _ types.UID) bool { return in(id) })
}

// distrust makes the next Apply send the object: our entry in managedFields no longer proves the values of its fields.
func (a *Applier) distrust(id string) {
	if last, known := a.applied[id]; known {
		last.fields = ""
		a.applied[id] = last
	}
}

// FromTyped returns a typed object in the form that Apply takes, without the fields that only the API server writes.
func FromTyped(object client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("convert %s: %w", ownership.Identity(object), err)
	}
	converted := &unstructured.Unstructured{Object: content}
	unstructured.RemoveNestedField(converted.Object, "status")
	unstructured.RemoveNestedField(converted.Object, "metadata", "creationTimestamp")
	return converted, nil
}

// digestOf identifies the wanted content. UID and resourceVersion are preconditions of the write, not content.
func digestOf(object *unstructured.Unstructured) ([sha256.Size]byte, error) {
	if object.GetUID() != "" || object.GetResourceVersion() != "" {
		object = object.DeepCopy()
		object.SetUID("")
		object.SetResourceVersion("")
	}
	content, err := json.Marshal(object.Object)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("digest: %w", err)
	}
	return sha256.Sum256(content), nil
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Result is what an apply did.
type Result int

// Results.
const (
	// Unchanged means that nothing was sent.
	Unchanged Result = iota
	// Created means that the object did not exist.
	Created
	// Configured means that what is wanted had changed.
	Configured
	// Repaired means that somebody had changed or deleted what the operator wrote.
	Repaired
)

// NameTakenError means that an object exists which somebody else made. It is left alone.
type NameTakenError struct {
	// Object is its kind, namespace and name.
	Object string
	// Manager is the field manager that made it; empty where that is not known.
	Manager string
}

func (e *NameTakenError) Error() string {
	by := "somebody else"
	if e.Manager != "" {
		by = fmt.Sprintf("the field manager %q", e.Manager)
	}
	return fmt.Sprintf("%s was made by %s and is left alone; delete it, or label it %s=%s to hand it over",
		e.Object, by, v1alpha1.ManagedLabel, v1alpha1.SingletonName)
}

// Applier writes objects. Its methods may be called from one goroutine at a time for the same object.
type Applier struct {
	// client reads from the watch cache and writes to the API server.
	client client.Client
	// live reads from the API server.
	live client.Reader
	// clock measures how long a contest lasts.
	clock clock.PassiveClock

	mu      sync.Mutex
	applied map[string]record
	// contests are the losses of each object by their kind, and spec is the version of the spec that they are about.
	contests map[string]map[string]*contest
	spec     string
}

// record is what was last written of an object.
type record struct {
	wanted [sha256.Size]byte
	uid    types.UID
	// generation that the API server answered; the cache is behind as long as it shows an earlier one.
	generation int64
	// resourceVersion that the API server answered.
	resourceVersion string
	// fields are those that the API server said we own after the write. Whoever changes one of them takes it from us,
	// so as long as our part of managedFields stays the same, so do the fields.
	fields string
}

// New returns an applier that reads through the cache of c and, to look before it creates, from live.
func New(c client.Client, live client.Reader, clock clock.PassiveClock) *Applier {
	return &Applier{client: c, live: live, clock: clock, applied: map[string]record{}, contests: map[string]map[string]*contest{}}
}

// Apply makes sure that the object exists with the wanted fields. It sends nothing when the cache shows that the fields
// are still those of the last write. It returns a NameTakenError for what somebody else made, and a ContestedError, without
// a write, when somebody keeps undoing it. A wanted object with a UID, or a resourceVersion, is that one or none: the API
// server answers a conflict where it is gone or another one. The wanted object is not changed.
func (a *Applier) Apply(ctx context.Context, wanted *unstructured.Unstructured) (Result, error) {
	return a.apply(ctx, wanted, false)
}

// TakeOver is Apply for an object that somebody else made and that the user wants to be ours: one write changes the fields
// and whose it is.
func (a *Applier) TakeOver(ctx context.Context, wanted *unstructured.Unstructured) (Result, error) {
	return a.apply(ctx, wanted, true)
}

func (a *Applier) apply(ctx context.Context, wanted *unstructured.Unstructured, takeOver bool) (Result, error) {
	id := Identity(wanted)
	digest, err := digestOf(wanted)
	if err != nil {
		return Unchanged, fmt.Errorf("%s: %w", id, err)
	}
	before, err := a.cached(ctx, wanted)
	if err != nil {
		return Unchanged, err
	}
	last, known := a.record(id)
	tryFirst := before == nil && !known && !takeOver && guarded(wanted)
	if before == nil && !tryFirst {
		if before, err = a.mayCreate(ctx, wanted, takeOver); err != nil {
			return Unchanged, err
		}
	}
	if before != nil && known && last.wanted == digest && last.uid == before.GetUID() && last.fields == ownedFields(before) {
		a.conceded(id)
		return Unchanged, nil
	}
	lost := lossOf(before, last, known)
	if lost != nil {
		if err := a.mayRepair(id, lost); err != nil {
			return Unchanged, err
		}
	}

	var sent *unstructured.Unstructured
	if tryFirst {
		sent, before, err = a.create(ctx, wanted)
	} else {
		// New content that is refused is not the fault of others.
		sent, err = a.send(ctx, wanted, before != nil && (!known || last.wanted == digest))
	}
	if err != nil {
		return Unchanged, fmt.Errorf("apply %s: %w", id, err)
	}
	now := record{wanted: digest, uid: sent.GetUID(), generation: sent.GetGeneration(),
		resourceVersion: sent.GetResourceVersion(), fields: ownedFields(sent)}
	a.remember(id, now)
	result := outcome(before, last, known, now)
	if lost != nil && result != Unchanged {
		a.repaired(id, lost)
	}
	return result, nil
}

// Behind is true when an object from the cache is older than what the last write made of it.
func (a *Applier) Behind(cached client.Object, id string) bool {
	last, known := a.record(id)
	return known && last.uid == cached.GetUID() && cached.GetGeneration() < last.generation
}

// outcome says what a write did, for the events. before is what the API server or its cache held, and last what was
// written before, if that is known. A write that finds its own result, because the cache has not seen it yet, did nothing.
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

// cached returns the object as the watch cache holds it; nil where it does not.
func (a *Applier) cached(ctx context.Context, wanted *unstructured.Unstructured) (client.Object, error) {
	kind, managed := kindOf(wanted.GroupVersionKind())
	if !managed {
		return nil, fmt.Errorf("%s: the operator does not manage %s", Identity(wanted), wanted.GroupVersionKind())
	}
	current := kind.New()
	err := a.client.Get(ctx, client.ObjectKeyFromObject(wanted), current)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s from the cache: %w", Identity(wanted), err)
	}
	if !ours(current) {
		// Some kinds are cached whether they are ours or not.
		return nil, nil
	}
	return current, nil
}

// mayCreate looks whether an object that the cache does not hold is really absent, and returns it if it is ours or to be
// taken over. An apply would otherwise quietly merge into what somebody else made, and our owner reference would have it
// deleted with the pipeline.
func (a *Applier) mayCreate(ctx context.Context, wanted *unstructured.Unstructured, takeOver bool) (client.Object, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(wanted.GroupVersionKind())
	err := a.live.Get(ctx, client.ObjectKeyFromObject(wanted), found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", Identity(wanted), err)
	}
	if takeOver || ours(found) || ownedFields(found) != "" {
		return found, nil
	}
	taken := &NameTakenError{Object: Identity(wanted)}
	if entries := found.GetManagedFields(); len(entries) > 0 {
		taken.Manager = entries[0].Manager
	}
	return nil, taken
}

func ours(object client.Object) bool {
	return object.GetLabels()[v1alpha1.ManagedLabel] == v1alpha1.SingletonName
}

// ownedFields returns the fields that our server-side apply owns, in the API server's own writing.
func ownedFields(object client.Object) string {
	for _, entry := range object.GetManagedFields() {
		applied := entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
		if applied && entry.Manager == v1alpha1.FieldManager && entry.FieldsV1 != nil {
			return entry.FieldsV1.GetRawString()
		}
	}
	return ""
}

func (a *Applier) record(id string) (record, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, known := a.applied[id]
	return last, known
}

func (a *Applier) remember(id string, r record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applied[id] = r
}

func (a *Applier) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.applied, id)
}

// Identity returns an object's kind, namespace and name, for messages and as a key.
func Identity(object client.Object) string {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if namespace := object.GetNamespace(); namespace != "" {
		return kind + " " + namespace + "/" + object.GetName()
	}
	return kind + " " + object.GetName()
}

// FromTyped returns a typed object in the form that Apply takes, without what only the API server writes.
func FromTyped(object client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("convert %s: %w", Identity(object), err)
	}
	converted := &unstructured.Unstructured{Object: content}
	unstructured.RemoveNestedField(converted.Object, "status")
	unstructured.RemoveNestedField(converted.Object, "metadata", "creationTimestamp")
	return converted, nil
}

// digestOf tells what is wanted apart; UID and resourceVersion are no content, but say to which object the content may go.
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

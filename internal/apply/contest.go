// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

// When drift repair stops. A rival that answers each of our writes with one of its own would otherwise load the API server
// without end, and neither would win.
const (
	// mostRepairs of one kind, within repairWindow, are made.
	mostRepairs  = 3
	repairWindow = 10 * time.Minute
	// mostRepairsOfAll kinds of one object, within repairWindow, are made: a rival that changes its name or its fields each time
	// makes each loss another kind.
	mostRepairsOfAll = 30
	// truce is how long after the rival's last write one more try is made.
	truce = time.Hour
)

// ContestedError means that another writer keeps undoing what the operator writes, so that it has stopped to write the object.
type ContestedError struct {
	// Object is its kind, namespace and name.
	Object string
	// Managers are the field managers that own what the operator lost; empty where that is not known.
	Managers []string
	// Fields are those that the operator lost; empty where the object was deleted.
	Fields []string
	// RetryAfter is how long to wait for the next try.
	RetryAfter time.Duration
}

// Error names the object, the rival and the remedy. Its text is the same as long as the contest lasts.
func (e *ContestedError) Error() string {
	by := "another writer"
	if len(e.Managers) > 0 {
		by = fmt.Sprintf("the field manager %q", strings.Join(e.Managers, `", "`))
	}
	what := "deletes it"
	if len(e.Fields) > 0 {
		const most = 3
		what = "changes " + strings.Join(e.Fields[:min(len(e.Fields), most)], ", ")
		if len(e.Fields) > most {
			what += fmt.Sprintf(" and %d more fields", len(e.Fields)-most)
		}
	}
	return fmt.Sprintf("%s: %s %s again and again, so the operator leaves it as it is after %d repairs; keep one of the two "+
		"from writing it. It is tried again an hour after the last change, and at once when the spec changes",
		e.Object, by, what, mostRepairs)
}

// loss is the drift of an object by another writer since the last write.
type loss struct {
	// fields are those that we no longer own; nil where the object was deleted.
	fields []string
	// managers own those fields now, or made the object anew.
	managers []string
	// seen changes with every write of the managers.
	seen string
}

// kind is rival and fields: repairs are counted for each kind, so that unrelated edits are repaired without limit.
func (l loss) kind() string {
	return strings.Join(l.managers, ",") + " " + strings.Join(l.fields, ",")
}

// lossOf compares the observed object, nil where it was deleted, with what was last written of it; nil when nothing was lost.
func lossOf(now client.Object, last record, known bool) *loss {
	switch {
	case !known:
		return nil
	case now == nil:
		return &loss{}
	case older(now, last):
		return nil // The cache has not seen our own last write.
	case now.GetUID() != last.uid:
		return madeAnew(now)
	default:
		return lostFields(now, last)
	}
}

// older is true for an object from before our last write.
func older(now client.Object, last record) bool {
	order, err := resourceversion.CompareResourceVersion(now.GetResourceVersion(), last.resourceVersion)
	return err == nil && order < 0
}

// madeAnew is the loss of an object that was deleted and made anew by another owner.
func madeAnew(now client.Object) *loss {
	l := &loss{seen: string(now.GetUID())}
	for _, entry := range now.GetManagedFields() {
		if entry.Subresource == "" && entry.Manager != v1alpha1.FieldManager {
			l.addManager(entry.Manager)
		}
	}
	return l
}

func lostFields(now client.Object, last record) *loss {
	lost := fieldsOf(last.fields).Difference(fieldsOf(ownership.AppliedFields(now))).Leaves()
	if lost.Empty() {
		return nil
	}
	l := &loss{}
	for path := range lost.All() {
		l.fields = append(l.fields, path.String())
	}
	for _, entry := range now.GetManagedFields() {
		isOurs := entry.Manager == v1alpha1.FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply
		if isOurs || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		if !fieldsOf(entry.FieldsV1.GetRawString()).Intersection(lost).Empty() {
			l.addManager(entry.Manager)
			l.seen += entry.FieldsV1.GetRawString() + entry.Time.String()
		}
	}
	return l
}

func (l *loss) addManager(name string) {
	if !slices.Contains(l.managers, name) {
		l.managers = append(l.managers, name)
		slices.Sort(l.managers)
	}
}

// fieldsOf reads an entry of managedFields; what cannot be read counts as no field.
func fieldsOf(raw string) *fieldpath.Set {
	set := fieldpath.NewSet()
	if raw == "" {
		return set
	}
	if err := set.FromJSON(strings.NewReader(raw)); err != nil {
		return fieldpath.NewSet()
	}
	return set
}

// contest is the history of one kind of loss of one object.
type contest struct {
	// repairs are the times of our last ones.
	repairs []time.Time
	// stopped is true while nothing is written; seen is the rival's last write then, and at when it was observed.
	stopped bool
	seen    string
	at      time.Time
}

// mayRepair returns a ContestedError when a loss must not be repaired.
func (a *Applier) mayRepair(id string, l *loss) error {
	now := a.clock.Now()
	if wait := a.overrun(id, now); wait > 0 {
		return &ContestedError{Object: id, Managers: l.managers, Fields: l.fields, RetryAfter: wait}
	}
	c := a.contests[id][l.kind()]
	if c == nil {
		return nil
	}
	c.repairs = slices.DeleteFunc(c.repairs, func(at time.Time) bool { return now.Sub(at) > repairWindow })
	switch {
	case !c.stopped && len(c.repairs) < mostRepairs:
		return nil
	case !c.stopped, c.seen != l.seen:
		c.stopped, c.seen, c.at = true, l.seen, now
	case now.Sub(c.at) >= truce:
		// One more repair is left: the next loss stops it again.
		c.stopped = false
		c.repairs = slices.Repeat([]time.Time{now}, mostRepairs-1)
		return nil
	}
	return &ContestedError{Object: id, Managers: l.managers, Fields: l.fields, RetryAfter: truce - now.Sub(c.at)}
}

// overrun returns how long to wait until there are fewer repairs of an object, of whatever kind, than may be made; 0 for none.
func (a *Applier) overrun(id string, now time.Time) time.Duration {
	var last []time.Time
	for _, c := range a.contests[id] {
		for _, at := range c.repairs {
			if now.Sub(at) <= repairWindow {
				last = append(last, at)
			}
		}
	}
	if len(last) < mostRepairsOfAll {
		return 0
	}
	slices.SortFunc(last, time.Time.Compare)
	return repairWindow - now.Sub(last[len(last)-mostRepairsOfAll]) + time.Second
}

// repaired counts the repair of a loss, and forgets the kinds of long ago.
func (a *Applier) repaired(id string, l *loss) {
	now := a.clock.Now()
	maps.DeleteFunc(a.contests[id], func(_ string, c *contest) bool {
		return !slices.ContainsFunc(c.repairs, func(at time.Time) bool { return now.Sub(at) <= repairWindow }) &&
			(!c.stopped || now.Sub(c.at) > 2*truce)
	})
	if a.contests[id] == nil {
		a.contests[id] = map[string]*contest{}
	}
	c := a.contests[id][l.kind()]
	if c == nil {
		c = &contest{}
		a.contests[id][l.kind()] = c
	}
	c.repairs = append(c.repairs, now)
}

// conceded ends the stopped contests of an object that is as desired: the rival has put it right.
func (a *Applier) conceded(id string) {
	for kind, c := range a.contests[id] {
		if c.stopped {
			delete(a.contests[id], kind)
		}
	}
}

// NewSpec ends every contest when the version of the spec changes: a person has acted.
func (a *Applier) NewSpec(version string) {
	if a.spec != version {
		a.spec = version
		clear(a.contests)
	}
}

// Contested returns the ContestedError that Apply would return, and writes nothing. It is for what must not be written unless
// the object can be.
func (a *Applier) Contested(ctx context.Context, wanted *unstructured.Unstructured) error {
	id := ownership.Identity(wanted)
	if len(a.contests[id]) == 0 {
		return nil
	}
	now, err := a.cached(ctx, wanted)
	if err != nil {
		return err
	}
	if now == nil {
		if now, err = a.mayCreate(ctx, wanted, true); err != nil {
			return err
		}
	}
	last, known := a.applied[id]
	if l := lossOf(now, last, known); l != nil {
		return a.mayRepair(id, l)
	}
	return nil
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/metricspipeline/operator/internal/kinds"
)

// follow begins or ends the watch of a kind that may be defined; listed is true when that is known for sure.
func (w *Watches) follow(ctx context.Context, kind *watched, defined, listed bool) {
	served, err := w.discover(kind, defined)
	w.mu.Lock()
	kind.looked, kind.served, kind.defined = true, served, served || defined && listed
	if err != nil {
		kind.fail(err, w.clock.Now())
	}
	w.mu.Unlock()
	switch {
	case served:
		w.begin(ctx, kind)
	case err == nil:
		w.end(ctx, kind)
	}
}

// crds returns the CRDs that are not being deleted, each with its version.
func (w *Watches) crds(ctx context.Context) ([]string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kinds.CRD.GroupVersion().WithKind(kinds.CRD.Kind + "List"))
	if err := w.Reader(w.cluster.GetCache(), w.cluster.GetCache()).List(ctx, list); err != nil {
		return nil, fmt.Errorf("list the CRDs: %w", err)
	}
	var crds []string
	there := sets.New[string]()
	for _, crd := range list.Items {
		w.seen.Insert(crd.Name)
		if crd.DeletionTimestamp == nil {
			there.Insert(crd.Name)
			crds = append(crds, crd.Name+"@"+crd.ResourceVersion)
		}
	}
	w.gone = w.seen.Difference(there)
	slices.Sort(crds)
	return crds, nil
}

// discover is true when there is the CRD and the API server has begun to serve it, which it does a moment later.
func (w *Watches) discover(kind *watched, defined bool) (bool, error) {
	if !defined {
		return false, nil
	}
	_, err := w.cluster.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil && !meta.IsNoMatchError(err) {
		return false, fmt.Errorf("find out whether the API server serves %s: %w", kind.GroupVersionKind.Kind, err)
	}
	return err == nil, nil
}

// present finds no resource of a CRD that has gone, and finds those of one that has come. The manager's mapper never forgets one, and to
// query the API server anew does not help: it serves the resource for a moment longer, and no event says when it ends. Nor does the
// manager's learn by itself of a group that came later, unless it is asked for that very group.
type present struct {
	meta.RESTMapper
	gone sets.Set[string]
	// anew returns a mapper that knows what is served now; it is made once, and nil where there is no need for one.
	anew func() (meta.RESTMapper, error)
}

// KindFor returns the kind of a resource.
func (p present) KindFor(resource schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	kind, err := p.RESTMapper.KindFor(resource)
	if resource.Group == "" && meta.IsNoMatchError(err) {
		kind, err = p.inAnyGroup(resource, err)
	}
	if err != nil {
		return kind, err //nolint:wrapcheck // a RESTMapper's errors are told apart
	}
	mapping, err := p.RESTMapping(kind.GroupKind(), kind.Version)
	if err == nil && p.gone.Has(mapping.Resource.GroupResource().String()) {
		err = &meta.NoResourceMatchError{PartialResource: resource}
	}
	return kind, err //nolint:wrapcheck // as above
}

// inAnyGroup looks for a resource in the groups that the manager's mapper does not know yet. Afterwards it knows that of the resource.
func (p present) inAnyGroup(resource schema.GroupVersionResource, unmatched error) (schema.GroupVersionKind, error) {
	mapper, err := p.anew()
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	if mapper == nil {
		return schema.GroupVersionKind{}, unmatched
	}
	kind, err := mapper.KindFor(resource)
	if err != nil {
		return kind, err //nolint:wrapcheck // as above
	}
	if _, err := p.RESTMapping(kind.GroupKind(), kind.Version); err != nil {
		return kind, err //nolint:wrapcheck // as above
	}
	return kind, nil
}

// discover returns a mapper that has not been asked for anything; nil where there is none.
func (s *Source) discover() (meta.RESTMapper, error) {
	if s.Discover == nil {
		return nil, nil //nolint:nilnil // Mapper knows all
	}
	mapper, err := s.Discover()
	if err != nil {
		return nil, fmt.Errorf("find out which resources the API server serves: %w", err)
	}
	return mapper, nil
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/internal/ownership"
)

// apiServer answers the operator as the world sets it. An apply that changes nothing is answered as by a real one: with the
// object as it was. One that makes an object gives it a UID.
func (w *world) apiServer() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			for _, what := range []string{w.kind(object), w.kind(object) + " " + key.Name} {
				if err := w.unreadable[what]; err != nil {
					return err
				}
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if err := w.unreadable[strings.TrimSuffix(w.kind(list), "List")]; err != nil {
				return err
			}
			return c.List(ctx, list, opts...)
		},
		Apply: func(ctx context.Context, _ client.WithWatch, applied runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return w.apply(ctx, applied, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			if err := w.refuseDelete[object.GetName()]; err != nil {
				return err
			}
			w.wrote = append(w.wrote, "delete "+w.kind(object)+" "+object.GetName())
			return c.Delete(ctx, object, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, of string, object client.Object, patch client.Patch,
			opts ...client.SubResourcePatchOption) error {
			if w.refuseStatus != nil {
				return w.refuseStatus
			}
			w.wrote = append(w.wrote, "patch "+of)
			return c.SubResource(of).Patch(ctx, object, patch, opts...)
		},
	}
}

func (w *world) kind(object runtime.Object) string {
	w.t.Helper()
	kind, err := apiutil.GVKForObject(object, w.client.Scheme())
	if err != nil {
		w.t.Error(err)
	}
	return kind.Kind
}

func (w *world) apply(ctx context.Context, applied runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	object := applied.(client.Object)
	id := ownership.Identity(object)
	content, err := json.Marshal(applied)
	if err == nil && w.refuse != nil {
		err = w.refuse(id, string(content))
	}
	if err != nil {
		return err
	}
	stored := func() *unstructured.Unstructured {
		found := &unstructured.Unstructured{}
		found.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
		_ = w.client.Get(ctx, client.ObjectKeyFromObject(object), found)
		return found
	}
	strip := func(in *unstructured.Unstructured) *unstructured.Unstructured {
		in = in.DeepCopy()
		in.SetResourceVersion("")
		in.SetManagedFields(nil)
		return in
	}
	before := stored()
	if err := w.client.Apply(ctx, applied, opts...); err != nil {
		return err
	}
	if after := stored(); after.GetUID() == "" {
		w.made++
		after.SetUID(types.UID(fmt.Sprintf("uid-%d", w.made)))
		if err := w.client.Update(ctx, after); err != nil {
			return err
		}
		object.SetUID(after.GetUID())
		object.SetResourceVersion(after.GetResourceVersion())
	}
	if equality.Semantic.DeepEqual(strip(before), strip(stored())) {
		object.SetResourceVersion(before.GetResourceVersion())
		return nil
	}
	w.wrote = append(w.wrote, "apply "+id)
	return nil
}

// liveReader reads from the API server.
type liveReader struct {
	client.Reader
	*world
}

// Get reads one object.
func (l liveReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if secret, ok := object.(*corev1.Secret); ok && l.live != nil && key.Name == l.live.Name {
		l.live.DeepCopyInto(secret)
		return nil
	}
	return l.Reader.Get(ctx, key, object, opts...)
}

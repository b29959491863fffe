// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"encoding/json"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/utils/ptr"
)

// byUID compares lists of owners without their order, which means nothing.
var byUID = cmpopts.SortSlices(func(a, b metav1.OwnerReference) bool { return a.UID < b.UID })

// TestAdoption applies the patch as the API server does. cert-manager may be the controller of the Secret already, or come to
// be it with its next write, and there is room for one.
func TestAdoption(t *testing.T) {
	certificate := metav1.OwnerReference{APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: "backend", UID: "certificate",
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}
	pipeline := owners()[0]
	api := metav1.OwnerReference{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService", Name: "v1beta1.metrics.k8s.io", UID: "api"}
	earlier := metav1.OwnerReference{APIVersion: api.APIVersion, Kind: api.Kind, Name: api.Name, UID: "earlier"}
	plain := func(owner metav1.OwnerReference) metav1.OwnerReference {
		owner.Controller = ptr.To(false)
		return owner
	}
	type refs = []metav1.OwnerReference
	for name, tc := range map[string]struct {
		has, owners, want refs
		needed            bool
	}{
		"none":                                {nil, refs{pipeline, api}, refs{plain(pipeline), plain(api)}, true},
		"of cert-manager":                     {refs{certificate}, refs{pipeline, api}, refs{plain(pipeline), plain(api), certificate}, true},
		"adopted":                             {refs{certificate, plain(pipeline), plain(api)}, refs{pipeline, api}, refs{certificate, plain(pipeline), plain(api)}, false},
		"adopted, without saying no":          {refs{api}, refs{api}, refs{api}, false},
		"a new APIService":                    {refs{plain(pipeline), plain(earlier)}, refs{pipeline, api}, refs{plain(api), plain(pipeline)}, true},
		"of another component by now":         {refs{certificate, plain(pipeline), plain(api)}, refs{pipeline}, refs{certificate, plain(pipeline)}, true},
		"as a controller, by an earlier one":  {refs{pipeline}, refs{pipeline}, refs{plain(pipeline)}, true},
		"that, and cert-manager cannot write": {refs{pipeline, plain(api)}, refs{pipeline, api}, refs{plain(pipeline), plain(api)}, true},
		"no owner to add":                     {refs{certificate}, nil, refs{certificate}, false},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "backend-issued", UID: "secret", ResourceVersion: "7", OwnerReferences: tc.has}}
			patch, err := adoption(secret, tc.owners)
			if err != nil || (patch != nil) != tc.needed {
				t.Fatalf("patch %s, error %v", patch, err)
			}
			if patch == nil {
				return
			}
			before, err := json.Marshal(secret)
			if err != nil {
				t.Fatal(err)
			}
			after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.Secret{})
			if err != nil {
				t.Fatal(err)
			}
			got := &corev1.Secret{}
			if err := json.Unmarshal(after, got); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tc.want, got.OwnerReferences, byUID); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
			var sent metav1.PartialObjectMetadata
			if err := json.Unmarshal(patch, &sent); err != nil || sent.UID != "secret" || sent.ResourceVersion != "7" {
				t.Errorf("it could reach another Secret: %s", patch)
			}
			if again, _ := adoption(got, tc.owners); again != nil {
				t.Errorf("once more: %s", again)
			}
		})
	}
}

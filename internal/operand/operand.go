// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package operand turns a spec and the facts about a cluster into a plan of what should exist. What is deployed is known to
// the operands alone, each of which has a folder of its own here and stands in the registry; this package knows only what
// they have in common.
package operand

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Operand is something that the operator can deploy.
type Operand interface {
	// Describe says what there is to deploy, whatever a spec wants.
	Describe() Description
	// Plan says what should run for a spec on a cluster. It writes nothing, and reads nothing but the facts. The error is the
	// cluster's, never the spec's: it is not known what should run.
	Plan(Input) (Proposal, error)
}

// Demander is an operand that needs series of Prometheus before it can serve something. Whether they are there comes back in the
// facts, under the operand's name.
type Demander interface {
	// Demand returns what it needs for a spec, and whether it needs anything.
	Demand(v1alpha1.MetricsPipelineSpec, cluster.Facts) (prometheus.Demand, bool)
}

// Description is what an operand is.
type Description struct {
	// Catalog is the component with everything that a spec could want of it: what a patch may be about, and what is retained
	// where no form of it is stored. Its name is the operand's, and that of its folder in the assets.
	Catalog Component
	// Image is the one that this release was tested with, and ImageVariable the environment variable that replaces it, as
	// OLM and mirrors of registries expect. Both are empty where nothing runs.
	Image, ImageVariable string
	// Authorities returns the certificate authorities that its section of a spec names, by field, to be read into the facts; nil for
	// none.
	Authorities func(v1alpha1.MetricsPipelineSpec) map[string]*v1alpha1.CertificateAuthority
}

// Input is what an operand plans from.
type Input struct {
	// Spec without the rules of APIs that the operator is not to serve.
	Spec v1alpha1.MetricsPipelineSpec
	// Facts about the cluster.
	Facts cluster.Facts
	// Omitted are the metrics APIs that the operator is not to serve.
	Omitted metricsapi.Omissions
	// Image where the spec names none.
	Image string
	// LastGood is the last good form that is stored; nil for none.
	LastGood *LastGood
}

// Proposal is what an operand wants for a spec.
type Proposal struct {
	// Component that should run; nil for none.
	Component *Component
	// Leaving are those of its metrics APIs that another component serves by the spec: they lead here until that one does.
	Leaving []metricsapi.API
	// Retained says why the last good form stays although the component should run: what would replace it is unknown. Empty
	// where Component is what the spec wants.
	Retained string
	// Access is the data of the Secret that Component.AccessSecret names; nil where that is to stay as it is. It is not part of the
	// component, which is stored.
	Access map[string][]byte
	// Omitted says why metrics APIs that the operand could serve are not registered.
	Omitted metricsapi.Omissions
	// Rules are the spec's rules that the operand runs, and what became of each.
	Rules []v1alpha1.RuleStatus
	// Removed are rules that serve although the spec does not have them any more.
	Removed []v1alpha1.RuleStatus
	// Series are selectors whose series Prometheus is to count for a later plan, and Uncounted the rules about which too little has
	// been counted yet.
	Series    []prometheus.Selector
	Uncounted []RuleName
	// Derived are the rules that follow from what HorizontalPodAutoscalers ask for, and Derivation is how they do; nil where none can.
	// Names are selectors for whose series Prometheus is to find the names for a later plan.
	Derived    []v1alpha1.RuleStatus
	Derivation *derive.State
	Names      []prometheus.Selector
	// Memory is stored with the form once that is applied, and comes back in LastGood.
	Memory []byte
	// Findings are what else is to be said.
	Findings []Finding
	// Kubelets is how the component reads the kubelets; nil where it does not.
	Kubelets *kubelet.Access
	// RequeueAfter is when to plan again where nothing brings an event; 0 is never.
	RequeueAfter time.Duration
}

// RuleName names a rule of the spec: by the group of its metrics API and its id.
type RuleName struct{ API, ID string }

// Finding is what an operand has to say in a condition.
type Finding struct {
	// Condition that it is about, Reason and Message. Stalled is true when a person has to act. A finding without a reason
	// adds its message to the condition and leaves its status.
	Condition, Reason, Message string
	Stalled                    bool
}

// Component is what an operand deploys: an asset folder, and what to change in it.
type Component struct {
	// Name of the component, of its ServiceAccount, and of its folder in the assets.
	Name string
	// Namespace that it runs in.
	Namespace string
	// Condition that says how it stands where Ready does not depend on it; empty for the conditions of every component.
	Condition string
	// Workloads are the names of its Deployments; none where nothing runs.
	Workloads []string
	// Service that the metrics APIs lead to; empty where it serves none.
	Service string
	// Serving is the Secret with its serving certificate; empty where it needs none.
	Serving string
	// AccessSecret is the Secret with what it presents to what it queries, as the operator writes it; empty where it needs none.
	AccessSecret string `json:",omitempty"`
	// APIs are the metrics APIs that it serves.
	APIs []metricsapi.API

	// Images replace those of the assets, which have the names of the keys.
	Images map[string]string
	// Versions are those of its images that are known by a digest: what is released names images by that alone.
	Versions map[string]string
	// Variants are the asset's kustomize components to include, by folder.
	Variants []string
	// Files are the data of the component's ConfigMap, which is named like it; none if empty.
	Files map[string]string
	// Patches come from the fields of the spec.
	Patches []Patch
	// UserPatches come from spec.patches and are applied last. One of them may be about another component.
	UserPatches []v1alpha1.Patch
	// Guarded are flags of its programs that no such patch may give: they would weaken whom the component trusts, and no condition
	// would say so. One that ends in a hyphen stands for all that begin so.
	Guarded []string
}

// Patch changes one rendered object.
type Patch struct {
	// Kind and Name of the object.
	Kind, Name string
	// Content is a strategic merge patch or a list of JSON 6902 operations.
	Content string
}

// DNSNames are the names that the serving certificate must have, the one that the API server verifies last. They are those of the
// Service or, where there is none, the component's.
func (c Component) DNSNames() []string {
	name := cmp.Or(c.Service, c.Name)
	return []string{name, name + "." + c.Namespace, name + "." + c.Namespace + ".svc"}
}

// ServerName is the name by which the API server verifies the serving certificate.
func (c Component) ServerName() string { return c.Service + "." + c.Namespace + ".svc" }

// LastGood is the last form of a component that the API server accepted whole.
type LastGood struct {
	// Component without what it was rendered from.
	Component Component
	// Objects as they were rendered, without owners.
	Objects []*unstructured.Unstructured
	// Memory of the operand.
	Memory []byte
}

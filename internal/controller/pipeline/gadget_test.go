// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing/fstest"

	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// gadget is an operand that nothing but a test knows: it serves some metrics APIs, from a Deployment and a Service of its name.
type gadget struct {
	name string
	apis []metricsapi.API
	// plain is one without a Service and a certificate, and workloads are its Deployments beside that of its name.
	plain     bool
	workloads []string
	// shape changes what it is made of; nil for nothing.
	shape func(*operand.Component)
	// plan changes what it plans; nil for nothing.
	plan func(operand.Input, *operand.Proposal) error
}

func (g *gadget) Describe() operand.Description {
	c := operand.Component{Name: g.name, Workloads: append([]string{g.name}, g.workloads...), APIs: g.apis,
		Images: map[string]string{g.name: "example.com/" + g.name + ":v1"}}
	if !g.plain {
		c.Service, c.Serving = g.name, g.name+"-tls"
	}
	if g.shape != nil {
		g.shape(&c)
	}
	return operand.Description{Catalog: c, Image: "example.com/" + g.name + ":v1", ImageVariable: "RELATED_IMAGE_GADGET"}
}

func (g *gadget) Plan(in operand.Input) (operand.Proposal, error) {
	component := g.Describe().Catalog
	component.Namespace, component.UserPatches, component.APIs = in.Facts.Namespace, in.Spec.Patches, nil
	for _, api := range g.apis {
		if !in.Omitted.Withheld(api) {
			component.APIs = append(component.APIs, api)
		}
	}
	proposal := operand.Proposal{Component: &component}
	if len(component.APIs) == 0 && len(g.apis) > 0 {
		proposal.Component = nil
	}
	if g.plan != nil {
		if err := g.plan(in, &proposal); err != nil {
			return operand.Proposal{}, err
		}
	}
	return proposal, nil
}

// assets are a folder for each gadget.
func assets(gadgets ...*gadget) fstest.MapFS {
	files := fstest.MapFS{}
	for _, g := range gadgets {
		base, service := "resources: [deployment.yaml, service.yaml]", g.Describe().Catalog.Service
		if service == "" {
			base = "resources: [deployment.yaml]"
		}
		if len(g.Describe().Catalog.Workloads) == 0 {
			files[g.name+"/base/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [configmaps.yaml]")}
			files[g.name+"/base/configmaps.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: v1
kind: ConfigMap
metadata: {name: ` + g.name + `-first}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ` + g.name + `-second}
`)}
			continue
		}
		all := ""
		for _, name := range g.Describe().Catalog.Workloads {
			all += `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + name + `}
spec:
  replicas: 1
  selector: {matchLabels: {app: ` + name + `}}
  template:
    metadata: {labels: {app: ` + name + `}}
    spec: {containers: [{name: main, image: ` + g.name + `}]}
`
		}
		files[g.name+"/base/kustomization.yaml"] = &fstest.MapFile{Data: []byte(base)}
		files[g.name+"/base/deployment.yaml"] = &fstest.MapFile{Data: []byte(all)}
		files[g.name+"/base/service.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: v1
kind: Service
metadata: {name: ` + service + `}
spec: {selector: {app: ` + g.name + `}, ports: [{name: https, port: 443, targetPort: https}]}
`)}
	}
	return files
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// actions are Helm's, by the scalars that stand for them until the object is text: no YAML node can be an action.
type actions map[string]string

// placeholder is a scalar that no action has yet.
func (a actions) placeholder() string { return fmt.Sprintf("HELM-ACTION-%03d", len(a)) }

// put replaces what a node is by an action.
func (a actions) put(node *kyaml.Node, action string) {
	placeholder := a.placeholder()
	a[placeholder] = action
	node.Kind, node.Tag, node.Style, node.Content = kyaml.ScalarNode, kyaml.NodeTagString, 0, nil
	node.Value = placeholder
}

// insert puts the actions into the text of an object.
func (a actions) insert(content string) string {
	var pairs []string
	for placeholder, action := range a {
		pairs = append(pairs, placeholder, action)
	}
	return strings.NewReplacer(pairs...).Replace(content)
}

// replaceNamespace puts the release's namespace wherever the installation's is.
func (a actions) replaceNamespace(node *kyaml.Node) error {
	if node.Kind == kyaml.ScalarNode && strings.Contains(node.Value, installNamespace) {
		if node.Value != installNamespace {
			return fmt.Errorf("%q has the namespace %s in it: the chart could not change that", node.Value, installNamespace)
		}
		a.put(node, "{{ .Release.Namespace | quote }}")
		return nil
	}
	for _, child := range node.Content {
		if err := a.replaceNamespace(child); err != nil {
			return err
		}
	}
	return nil
}

// relatedImages are the values that override the images of the operands, by the variable that names them.
var relatedImages = map[string]string{
	"RELATED_IMAGE_METRICS_SERVER":     "metricsServer",
	"RELATED_IMAGE_PROMETHEUS":         "prometheus",
	"RELATED_IMAGE_PROMETHEUS_ADAPTER": "prometheusAdapter",
}

// parameterize has the operator's Deployment take from values.yaml what it leaves to its user. What values.yaml leaves out is as in
// config/, which is in the template for that: a default in values.yaml would be a second one.
func (a actions) parameterize(deployment *kyaml.RNode) error {
	replicas, err := a.lookup(deployment, "spec", "replicas")
	if err != nil {
		return err
	}
	a.put(replicas.YNode(), "{{ .Values.replicas | default "+replicas.YNode().Value+" }}")

	container, err := a.lookup(deployment, "spec", "template", "spec", "containers", "[name=manager]")
	if err != nil {
		return err
	}
	image, err := a.lookup(container, "image")
	if err != nil {
		return err
	}
	a.put(image.YNode(), `{{ include "metricspipeline.image" . }}`)
	policy, err := a.lookup(container, "imagePullPolicy")
	if err != nil {
		return err
	}
	a.put(policy.YNode(), "{{ .Values.image.pullPolicy | default \""+policy.YNode().Value+"\" }}")
	resources, err := a.lookup(container, "resources")
	if err != nil {
		return err
	}
	if err := a.putMerged(resources, "resources", 10); err != nil {
		return err
	}
	if err := a.relateImages(container); err != nil {
		return err
	}
	return a.schedule(deployment)
}

// lookup finds a field that config/ has. Without it the chart would silently lose a value.
func (a actions) lookup(from *kyaml.RNode, path ...string) (*kyaml.RNode, error) {
	found, err := from.Pipe(kyaml.Lookup(path...))
	if err == nil && found == nil {
		err = fmt.Errorf("config/ does not set %s any more: change tools/release/actions.go and values.yaml with it",
			strings.Join(path, "."))
	}
	return found, err
}

// putMerged writes a mapping with what the user's value changes of it.
func (a actions) putMerged(node *kyaml.RNode, value string, indent int) error {
	defaults, err := node.MarshalJSON()
	if err != nil {
		return err
	}
	a.put(node.YNode(), fmt.Sprintf("{{- mergeOverwrite (fromJson `%s`) (.Values.%s | default dict) | toYaml | nindent %d }}",
		strings.TrimSpace(string(defaults)), value, indent))
	return nil
}

// relateImages takes the images of the operands from values.yaml where it has them. An operand that the chart does not know is an error.
func (a actions) relateImages(container *kyaml.RNode) error {
	env, err := a.lookup(container, "env")
	if err != nil {
		return err
	}
	return env.VisitElements(func(variable *kyaml.RNode) error {
		name := variable.Field("name").Value.YNode().Value
		if !strings.HasPrefix(name, "RELATED_IMAGE_") {
			return nil
		}
		value, found := relatedImages[name]
		if !found {
			return fmt.Errorf("%s is new: name its value in tools/release/actions.go, values.yaml and values.schema.json", name)
		}
		node := variable.Field("value").Value.YNode()
		a.put(node, fmt.Sprintf("{{ .Values.relatedImages.%s | default %q }}", value, node.Value))
		return nil
	})
}

// schedule adds what a cluster with nodes or registries of its own needs.
func (a actions) schedule(deployment *kyaml.RNode) error {
	spec, err := a.lookup(deployment, "spec", "template", "spec")
	if err != nil {
		return err
	}
	selector, err := a.lookup(spec, "nodeSelector")
	if err != nil {
		return err
	}
	if err := a.putMerged(selector, "nodeSelector", 8); err != nil {
		return err
	}
	for _, field := range []string{"imagePullSecrets", "tolerations"} {
		placeholder := kyaml.NewScalarRNode(a.placeholder())
		a["      "+field+": "+placeholder.YNode().Value] = fmt.Sprintf(
			"      {{- with .Values.%s }}\n      %s:\n        {{- toYaml . | nindent 8 }}\n      {{- end }}", field, field)
		if err := spec.PipeE(kyaml.SetField(field, placeholder)); err != nil {
			return err
		}
	}
	return nil
}

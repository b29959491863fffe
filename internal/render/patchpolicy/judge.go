// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package patchpolicy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// annotation keeps those of the operator, by which for example a change of the configuration gives new pods.
func annotation(c change) string {
	if key := c.path[len(c.path)-1]; strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") {
		return "annotations that begin with " + v1alpha1.GroupVersion.Group +
			"/ are the operator's; leave it as it is, and add others by a merge patch"
	}
	return ""
}

// added allows what is not there without patches.
func added(c change) string {
	if c.before != nil {
		return "the component needs it as it is; use the fields of the spec, or remove it from the patch"
	}
	return ""
}

// secret allows a reference to what the component refers to without patches, and none. ConfigMaps are free: nothing in them is
// secret, and the configuration of a sidecar is in one.
func secret(c change) string {
	if name, _ := c.after.(string); c.after == nil || slices.Contains(c.in.secrets, name) {
		return ""
	}
	return fmt.Sprintf("a patch may refer to no other Secret than those that the component has by the fields of the spec: %q", c.in.secrets)
}

// flags allows a command line, but for flags that turn verification or authorization off.
func flags(c change) string {
	before, _ := c.before.([]any)
	after, _ := c.after.([]any)
	for _, word := range after {
		argument, _ := word.(string)
		flag, _, _ := strings.Cut(argument, "=")
		isGuarded := slices.ContainsFunc(c.in.guarded, func(guarded string) bool {
			return flag == guarded || strings.HasSuffix(guarded, "-") && strings.HasPrefix(flag, guarded)
		})
		if isGuarded && !slices.Contains(before, word) {
			return fmt.Sprintf("%q would weaken whom the component trusts; remove it, and use the fields of the spec", argument)
		}
	}
	return ""
}

// remedyFor says what to do about a field that no rule allows.
func remedyFor(rules []rule, at path) string {
	switch last := at[len(at)-1]; {
	case len(rules) == 0:
		return "no patch may change an object of this kind; remove the patch"
	case last == "serviceAccountName" || last == "serviceAccount":
		return "the pods run as the component's own ServiceAccount; remove it from the patch"
	case last == "hostNetwork":
		return "the network of the node is a field's to choose; remove it from the patch, and set the component's hostNetwork, and its " +
			"port where the default is not free"
	default:
		return "no patch may change this field; remove it from the patch"
	}
}

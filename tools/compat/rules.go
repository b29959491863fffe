// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"errors"
	"fmt"
	"slices"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/crdify/pkg/config"
	"sigs.k8s.io/crdify/pkg/runner"
	"sigs.k8s.io/crdify/pkg/validations"
	"sigs.k8s.io/crdify/pkg/validations/property"
)

// rulesName is the name of the validation of rules of CEL, which crdify has none for.
const rulesName = "rules"

// registry is that of crdify with our validation.
var registry = func() validations.Registry {
	all := runner.DefaultRegistry()
	all.Register(rulesName, func(settings map[string]any) (validations.Validation, error) {
		rules := &rules{}
		return rules, property.ConfigToType(settings, rules)
	})
	return all
}()

// rules finds the rules of CEL that were added to a property that was released without them. To remove one, or to change its message,
// refuses nothing.
type rules struct {
	Harmless []string `json:"harmless,omitempty"`

	enforcement config.EnforcementPolicy
}

var _ validations.Comparator[apiextv1.JSONSchemaProps] = (*rules)(nil)

// Name identifies the validation in the configuration.
func (r *rules) Name() string { return rulesName }

// SetEnforcement says whether a finding is an error.
func (r *rules) SetEnforcement(policy config.EnforcementPolicy) { r.enforcement = policy }

// Compare also removes the rules of both, which tells crdify that they have been dealt with.
func (r *rules) Compare(released, present *apiextv1.JSONSchemaProps) validations.ComparisonResult {
	var errs []error
	for _, rule := range present.XValidations {
		isSame := func(old apiextv1.ValidationRule) bool { return old.Rule == rule.Rule }
		if !slices.ContainsFunc(released.XValidations, isSame) && !slices.Contains(r.Harmless, rule.Rule) {
			errs = append(errs, fmt.Errorf("%w: %s", errRuleAdded, rule.Rule))
		}
	}
	released.XValidations, present.XValidations = nil, nil
	return validations.HandleErrors(rulesName, r.enforcement, errs...)
}

var errRuleAdded = errors.New("rule added")

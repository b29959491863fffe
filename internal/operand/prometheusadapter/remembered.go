// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

// remembered is a rule as it is stored, and how it was derived.
type remembered struct {
	rules.Rule
	Derived *derive.Rule `json:"derived,omitempty"`
}

// recall returns the stated rules of a last good form, and the derived ones. What another version has written, and what somebody has
// edited, is not put back.
func recall(form *operand.LastGood) (stated []rules.Rule, derived []derive.Rule) {
	var all []remembered
	if form == nil || json.Unmarshal(form.Memory, &all) != nil {
		return nil, nil
	}
	for _, one := range all {
		switch {
		case one.Derived == nil:
			stated = append(stated, one.Rule)
		case one.Derived.Valid():
			derived = append(derived, *one.Derived)
		}
	}
	return stated, derived
}

// recollection is what was recalled last. It is for one goroutine.
type recollection struct {
	memory  []byte
	stated  []rules.Rule
	derived []derive.Rule
}

// recall does the same as the function, which takes milliseconds for hundreds of rules. What it returns is not to be changed.
func (r *recollection) recall(form *operand.LastGood) (stated []rules.Rule, derived []derive.Rule) {
	var memory []byte
	if form != nil {
		memory = form.Memory
	}
	if !bytes.Equal(r.memory, memory) {
		r.memory = memory
		r.stated, r.derived = recall(form)
	}
	return r.stated, r.derived
}

// writing is what was written last, and of what. It is for one goroutine.
type writing struct {
	derived         []derive.Rule
	window          time.Duration
	usable, dormant []rules.Rule
	config          string
	memory          []byte
}

// write returns the adapter's configuration, and what is remembered of it. Derived rules stand first: the adapter serves a metric by
// the last rule that makes it. Hundreds of rules take milliseconds, so what was written last stays while they are the same.
func (w *writing) write(derived derived, stated checked) (config string, memory []byte, err error) {
	if w.config != "" && w.window == derived.Window && slices.EqualFunc(w.derived, derived.Rules, alike) &&
		reflect.DeepEqual(w.usable, stated.usable) && reflect.DeepEqual(w.dormant, stated.dormant) {
		return w.config, w.memory, nil
	}
	var all []rules.Rule
	var stored []remembered
	for i, rule := range derived.Rules {
		form := rules.Of(derive.Add(v1alpha1.MetricsPipelineSpec{}, []derive.Rule{rule}, derived.Window))[0]
		all, stored = append(all, form), append(stored, remembered{form, &derived.Rules[i]})
	}
	all = append(all, stated.usable...)
	for _, rule := range slices.Concat(stated.usable, stated.dormant) {
		stored = append(stored, remembered{Rule: rule})
	}
	if config, err = rules.Config(all); err != nil {
		return "", nil, err
	}
	if memory, err = json.Marshal(stored); err != nil {
		return "", nil, fmt.Errorf("write the rules in use: %w", err)
	}
	*w = writing{derived.Rules, derived.Window, stated.usable, stated.dormant, config, memory}
	return config, memory, nil
}

// alike is true of rules that are stored as the same.
func alike(one, other derive.Rule) bool {
	one.Asking, one.Samples = other.Asking, other.Samples
	return one == other
}

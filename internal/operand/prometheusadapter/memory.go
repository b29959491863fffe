// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

// The API server serves a resource a moment after its CRD is there, and no event says when. Rules that wait for one are checked
// again after firstLook, which doubles, mostLooks times.
const (
	firstLook = time.Second
	mostLooks = 6
)

// counts of the rules of one metrics API.
type counts struct{ stated, usable int }

// checked is what became of the rules of a spec.
type checked struct {
	// number is another one for each check.
	number   uint64
	statuses []v1alpha1.RuleStatus
	// removed serve although the spec does not have them any more.
	removed []v1alpha1.RuleStatus
	counts  map[string]counts
	// accepted are the rules that serve as they are in the spec.
	accepted []accepted
	// usable are the rules that serve, and known what is known of each; dormant those that may serve again.
	usable, dormant []rules.Rule
	known           []rules.Findings
	// unserved is true when a rule waits for a resource to be served.
	unserved     bool
	requeueAfter time.Duration
}

// memo remembers a check of rules until they, or the resources that the cluster serves, change. It is for one goroutine.
type memo struct {
	clock clock.PassiveClock

	digest [sha256.Size]byte
	last   checked
	// looks is how often the same rules were checked because a resource was not served.
	looks int
	until time.Time
}

func (m *memo) check(in operand.Input, remembered []rules.Rule) (checked, error) {
	stated := rules.Of(in.Spec)
	content, err := json.Marshal([]any{stated, remembered, in.Facts.Served.CRDs, in.Spec.Prometheus.Dialect})
	if err != nil {
		return checked{}, fmt.Errorf("digest of the rules: %w", err)
	}
	digest, now := sha256.Sum256(content), m.clock.Now()

	if m.digest == digest && (m.until.IsZero() || now.Before(m.until)) {
		if m.last.requeueAfter > 0 {
			m.last.requeueAfter = m.until.Sub(now)
		}
		return m.last, nil
	}
	result, err := check(in, stated, remembered)
	if err != nil {
		return checked{}, err
	}
	if m.digest != digest {
		m.looks = 0
	}
	m.until = time.Time{}
	if result.unserved && m.looks < mostLooks {
		result.requeueAfter = firstLook << m.looks
		m.until, m.looks = now.Add(result.requeueAfter), m.looks+1
	}
	result.number = m.last.number + 1
	m.digest, m.last = digest, result
	return result, nil
}

// check sorts rules into those in use, those that serve in their last good form, and rejected ones. Where none of an API is
// usable, the last good ones serve whatever their names: a mistake never takes away an API that worked.
func check(in operand.Input, stated, remembered []rules.Rule) (checked, error) {
	j := judge{mapper: in.Facts.Mapper, dialect: in.Spec.Prometheus.Dialect, remembered: remembered}
	result := checked{counts: map[string]counts{}}
	for _, section := range sections {
		all := ofAPI(stated, section.group)
		var serving []rules.Rule
		for _, rule := range all {
			status, served, findings := j.status(rule)
			if status.State == v1alpha1.RuleInUse {
				result.accepted = append(result.accepted, accepted{findings: findings, status: len(result.statuses)})
			}
			result.statuses = append(result.statuses, status)
			for _, form := range served {
				serving, result.known = append(serving, form), append(result.known, findings)
			}
		}
		if len(all) > 0 && len(serving) == 0 {
			for _, rule := range ofAPI(remembered, section.group) {
				if findings, err := j.check(rule); err == nil {
					serving, result.known = append(serving, rule), append(result.known, findings)
					result.removed = append(result.removed, removed(rule, len(all)))
				}
			}
		}
		result.counts[section.group] = counts{stated: len(all), usable: len(serving)}
		result.usable = append(result.usable, serving...)
	}
	if j.unreachable != nil {
		return checked{}, j.unreachable
	}
	result.unserved, result.dormant = j.unserved, dormant(stated, result.usable, remembered)
	return result, nil
}

// removed is what became of a rule that serves because none of those that replaced it is usable.
func removed(rule rules.Rule, stated int) v1alpha1.RuleStatus {
	return v1alpha1.RuleStatus{API: rule.API, ID: rule.ID, State: v1alpha1.RuleLastGood, Message: fmt.Sprintf("%s.rules does not have "+
		"this rule any more, and it serves because none of the %d rules there is usable; correct one of those, or remove them all",
		metricsapi.Field(rule.API), stated)}
}

// dormant are the remembered forms of rules that are not usable now, as when the CRD that they need is gone for a while.
func dormant(stated, usable, remembered []rules.Rule) []rules.Rule {
	has := func(all []rules.Rule, rule rules.Rule) bool {
		return slices.ContainsFunc(all, func(r rules.Rule) bool { return r.API == rule.API && r.ID == rule.ID })
	}
	return slices.DeleteFunc(slices.Clone(remembered), func(rule rules.Rule) bool { return !has(stated, rule) || has(usable, rule) })
}

// judge checks rules against what the cluster serves.
type judge struct {
	mapper     meta.RESTMapper
	dialect    v1alpha1.QueryDialect
	remembered []rules.Rule
	// unserved is true once a rule waits for a resource to be served.
	unserved bool
	// unreachable is the first error of the cluster's: what became of the rules is not known.
	unreachable error
}

// check returns why a rule is not usable, and else what is known of it.
func (j *judge) check(rule rules.Rule) (rules.Findings, error) {
	if j.unreachable != nil {
		return rules.Findings{}, j.unreachable // Each further request would wait as long.
	}
	findings, cause := rule.Check(j.mapper, j.dialect)
	var unserved *rules.UnservedError
	j.unserved = j.unserved || errors.As(cause, &unserved)
	var unreachable *rules.UnreachableError
	if errors.As(cause, &unreachable) {
		j.unreachable = fmt.Errorf("rule %s of %s: %w", rule.ID, metricsapi.Field(rule.API), cause)
	}
	return findings, cause
}

// status returns what becomes of a rule, the form of it that serves, if one does, and what is known of one that serves as it is.
func (j *judge) status(rule rules.Rule) (v1alpha1.RuleStatus, []rules.Rule, rules.Findings) {
	status := v1alpha1.RuleStatus{API: rule.API, ID: rule.ID, State: v1alpha1.RuleInUse}
	findings, cause := j.check(rule)
	if cause == nil {
		return status, []rules.Rule{rule}, findings
	}
	status.State, status.Message = v1alpha1.RuleRejected, cause.Error()
	for _, form := range ofAPI(j.remembered, rule.API) {
		if form.ID != rule.ID {
			continue
		}
		if served, err := j.check(form); err == nil {
			status.State = v1alpha1.RuleLastGood
			return status, []rules.Rule{form}, served
		}
	}
	return status, nil, findings
}

func ofAPI(all []rules.Rule, group string) []rules.Rule {
	return slices.DeleteFunc(slices.Clone(all), func(rule rules.Rule) bool { return rule.API != group })
}

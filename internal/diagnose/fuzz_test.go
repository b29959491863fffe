// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"
)

// FuzzExamine: no evidence makes Examine panic. Each chain has one broken link or none, whose finding says what is wrong and what to do in
// bounded, printable sentences; none but one of an HPA that fails has a finding.
func FuzzExamine(f *testing.F) {
	for i, tc := range brokenCases() {
		f.Add(tc.name, []byte{byte(i), 7, 255, 0, 42, byte(i * 3)})
	}
	f.Add("\x00\n\"${x}`\u202e", []byte("\xff\xfe\xfd"))
	known := map[string]bool{}
	for _, reason := range reasons(f) {
		known[reason] = true
	}
	f.Fuzz(func(t *testing.T, word string, data []byte) {
		evidence := evidenceOf(word, data)
		diagnosis := Examine(evidence)
		if len(evidence.HPA.Spec.Metrics) > 0 && len(diagnosis.Chains) != len(evidence.HPA.Spec.Metrics) {
			t.Fatalf("%d chains of %d metrics", len(diagnosis.Chains), len(evidence.HPA.Spec.Metrics))
		}
		for i, chain := range diagnosis.Chains {
			broken := 0
			for at, link := range chain.Links {
				if link.Name != steps()[at].name || link.Verdict == "" {
					t.Fatalf("link %d is %+v", at, link)
				}
				if link.Verdict == Broken {
					broken++
				}
			}
			if broken > 1 || !diagnosis.Failing && (chain.Finding != nil || broken > 0) || i == 0 && broken > 0 && chain.Finding == nil {
				t.Fatalf("%s: %+v", verdicts(chain), chain.Finding)
			}
			findings := slices.Clone(chain.Limits)
			if chain.Finding != nil {
				findings = append(findings, *chain.Finding)
			}
			for _, finding := range findings {
				if !known[finding.Reason] || !says(finding.Cause) || !says(finding.Remedy) || len(finding.Message()) > 1000 {
					t.Fatalf("%+v", finding)
				}
			}
		}
		if object := evidence.ScaledObject; object != nil {
			finding := ExamineScaledObject(*object).Chains[0].Finding
			if !known[finding.Reason] || !says(finding.Cause) || !says(finding.Remedy) {
				t.Fatalf("%+v", finding)
			}
		}
		if failing := slices.ContainsFunc(diagnosis.Chains, func(c Chain) bool { return c.Finding != nil }); failing != diagnosis.Failing {
			t.Fatalf("a finding: %t, failing: %t\n%+v", failing, diagnosis.Failing, diagnosis)
		}
	})
}

// says is true for a sentence: printable, on one line, and more than punctuation.
func says(sentence string) bool {
	return len(sentence) > 10 && utf8.ValidString(sentence) && strings.TrimSpace(sentence) == sentence &&
		!strings.ContainsFunc(sentence, func(r rune) bool { return !unicode.IsPrint(r) })
}

// evidenceOf is evidence made of what the fuzzer gives: each string is word or a part of it, or what the code compares with.
func evidenceOf(word string, data []byte) *Evidence {
	words := []string{
		word, "", "web", "Rejected", "Warned", "LastGood", "InUse", "Disabled", "Observe", "Auto", "Pod", "Service", "Deployment web",
		strings.Repeat(word, 40), "AmbiguousSelector", "FailedUpdateScale", "ScalingDisabled", "TooManyReplicas", "cpu", "DeriveCounter", "a; b",
	}
	evidence := &Evidence{}
	filler := randfill.NewFromGoFuzz(data).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(
		func(s *string, c randfill.Continue) { *s = words[c.Intn(len(words))] },
		func(n *int, c randfill.Continue) { *n = c.Intn(5) - 1 },
		func(n *int32, c randfill.Continue) { *n = int32(c.Intn(4)) },
		func(at *time.Time, c randfill.Continue) {
			*at = now.Add(time.Duration(c.Intn(7200)-3600) * time.Second)
		},
		func(at *metav1.Time, c randfill.Continue) {
			at.Time = now.Add(-time.Duration(c.Intn(7200)) * time.Second)
		},
		func(status *corev1.ConditionStatus, c randfill.Continue) {
			*status = []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown}[c.Intn(3)]
		},
		func(kind *autoscalingv2.HorizontalPodAutoscalerConditionType, c randfill.Continue) {
			*kind = []autoscalingv2.HorizontalPodAutoscalerConditionType{
				autoscalingv2.AbleToScale, autoscalingv2.ScalingActive, autoscalingv2.ScalingLimited, autoscalingv2.ScaledToZero,
			}[c.Intn(4)]
		},
		func(fields *metav1.FieldsV1, _ randfill.Continue) { *fields = metav1.FieldsV1{} },
		func(unseen *map[LinkName]string, c randfill.Continue) {
			*unseen = map[LinkName]string{}
			for _, step := range steps() {
				if c.Intn(6) == 0 {
					(*unseen)[step.name] = words[c.Intn(len(words))]
				}
			}
		},
	)
	filler.Fill(evidence)
	if evidence.HPA == nil {
		evidence.HPA = healthy([]autoscalingv2.MetricSpec{cpu, requests, queue, ingress}, 0, 1, 2, 3).HPA
	}
	return evidence
}

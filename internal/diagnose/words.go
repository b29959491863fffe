// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/metricspipeline/operator/internal/text"
)

// What tenants write stands in sentences that others read, so it is shortened, and quoted where it is not the name of an object.
const (
	mostOfName     = 80
	mostOfQuote    = 160
	mostOfSentence = 440
	mostNamed      = 3
)

// name is the name of an object, or its kind and name: as it is where it has only characters that such names have, else quoted.
func name(s string) string {
	s = text.Shorten(s, mostOfName)
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._:/ ", r)
	}) {
		return strconv.Quote(s)
	}
	return s
}

// names are the first of several, in their order.
func names(all []string) string {
	short := make([]string, 0, len(all))
	for _, one := range all {
		short = append(short, name(one))
	}
	return text.Enumerate(short, mostNamed)
}

// quoted is a text of somebody else: a metric's name, a selector, an error.
func quoted(s string) string { return strconv.Quote(text.Shorten(s, mostOfQuote)) }

// sentence is one that the evidence brings: on one line, and with its full stop.
func sentence(s string) string {
	s = text.Shorten(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, ""), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " "), mostOfQuote*2)
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// count has the plural of what is counted.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if plural, ok := map[string]string{"series": "series"}[what]; ok {
		return fmt.Sprintf("%d %s", n, plural)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// are is the verb that follows a number of things.
func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// ago is a time in words, to the minute.
func ago(age time.Duration) string {
	if age < time.Minute {
		return count(max(0, int(age.Seconds())), "second")
	}
	return count(int(age.Minutes()), "minute")
}

// join sentences that are not empty.
func join(sentences ...string) string {
	return strings.Join(slices.DeleteFunc(sentences, func(one string) bool { return one == "" }), " ")
}

// found makes a finding whose sentences are bounded.
func found(reason, cause, remedy string) *Finding {
	return &Finding{Reason: reason, Cause: text.Shorten(cause, mostOfSentence), Remedy: text.Shorten(remedy, mostOfSentence)}
}

// byAdministrator marks a finding whose cause only an administrator removes.
func byAdministrator(finding *Finding) *Finding {
	finding.Administrator = true
	return finding
}

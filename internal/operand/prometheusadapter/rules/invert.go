// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
)

// Bounds of the names that are looked for.
const (
	// mostInverted is how many names of series are tried for the name of a metric.
	mostInverted = 32
	// widestClass is how many characters a class has at most of which each is tried.
	widestClass = 4
)

// inverse finds the names of series that name.matches and name.as could make a metric's name of. What it returns still has to be
// given to the adapter's own code: it says which of them do.
type inverse struct {
	matches *regexp.Regexp
	// as has name.as with its groups, and groups are those in their order.
	as     *regexp.Regexp
	groups []int
}

func inverseOf(name adapter.NameMapping) (inverse, error) {
	matches, err := regexp.Compile(name.Matches) // Empty matches everything, as in the adapter.
	if err != nil {
		return inverse{}, err //nolint:wrapcheck // it is only asked whether there is one
	}
	as := name.As
	if as == "" {
		as = "$" + strconv.Itoa(min(matches.NumSubexp(), 1))
	}
	i := inverse{matches: matches}
	pattern, at := strings.Builder{}, 0
	for _, found := range groupReference.FindAllStringSubmatchIndex(as, -1) {
		pattern.WriteString(regexp.QuoteMeta(as[at:found[0]]))
		at = found[1]
		reference := strings.Trim(as[found[0]:found[1]], "${}")
		if reference == "" { // $$ is a dollar.
			pattern.WriteString(`\$`)
			continue
		}
		group, err := strconv.Atoi(reference)
		if err != nil {
			group = matches.SubexpIndex(reference)
		}
		if group < 0 || group > matches.NumSubexp() {
			continue // It is replaced by nothing.
		}
		pattern.WriteString("(.*)")
		i.groups = append(i.groups, group)
	}
	pattern.WriteString(regexp.QuoteMeta(as[at:]))
	i.as, err = regexp.Compile("^(?s:" + pattern.String() + ")$")
	return i, err //nolint:wrapcheck // as above
}

// could is false where no name of a series becomes the metric's, whatever it is.
func (i inverse) could(metric string) bool { return i.as.MatchString(metric) }

// names returns names of series that could become the metric's name; none where they do not follow from it.
func (i inverse) names(metric string) []string {
	values := i.as.FindStringSubmatch(metric)
	if values == nil {
		return nil
	}
	captured := map[int]string{}
	for place, group := range i.groups {
		captured[group] = values[place+1]
	}
	if whole, has := captured[0]; has {
		return []string{whole}
	}
	tree, err := syntax.Parse(i.matches.String(), syntax.Perl)
	if err != nil {
		return nil
	}
	return written(tree, captured)
}

// written returns texts that an expression matches whose groups have captured these; nil where there are too many.
func written(tree *syntax.Regexp, captured map[int]string) []string {
	switch tree.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		return []string{""}
	case syntax.OpLiteral:
		return []string{string(tree.Rune)}
	case syntax.OpCharClass:
		return runes(tree.Rune)
	case syntax.OpCapture:
		if value, known := captured[tree.Cap]; known {
			return []string{value}
		}
		return written(tree.Sub[0], captured)
	case syntax.OpQuest:
		return bound(append([]string{""}, written(tree.Sub[0], captured)...))
	case syntax.OpAlternate:
		var all []string
		for _, branch := range tree.Sub {
			all = append(all, written(branch, captured)...)
		}
		return bound(all)
	case syntax.OpConcat:
		all := []string{""}
		for _, part := range tree.Sub {
			all = joined(all, written(part, captured))
		}
		return all
	}
	return nil
}

// joined returns each of the first texts with each of the second ones behind it.
func joined(first, second []string) []string {
	var all []string
	for _, before := range first {
		for _, after := range second {
			all = append(all, before+after)
		}
	}
	return bound(all)
}

func runes(ranges []rune) []string {
	var all []string
	for i := 0; i+1 < len(ranges); i += 2 {
		for one := ranges[i]; one <= ranges[i+1]; one++ {
			if len(all) == widestClass {
				return nil
			}
			all = append(all, string(one))
		}
	}
	return all
}

func bound(all []string) []string {
	if len(all) > mostInverted {
		return nil
	}
	return all
}

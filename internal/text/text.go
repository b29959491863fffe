// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package text keeps what is written for people within bounds.
package text

import (
	"fmt"
	"strings"
)

const omission = "..."

// Shorten returns the beginning of a text that is longer than most bytes, cut between characters.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(omission)], "") + omission
}

// Enumerate names up to most things, and counts the others.
func Enumerate(things []string, most int) string {
	if len(things) > most {
		return strings.Join(things[:most], ", ") + fmt.Sprintf(" and %d more", len(things)-most)
	}
	return strings.Join(things, ", ")
}

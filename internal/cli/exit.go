// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
)

// The exit codes of every command.
const (
	// ExitWorks says that what was looked at works.
	ExitWorks = 0
	// ExitBroken says that it does not.
	ExitBroken = 1
	// ExitUnseen says that not all of it could be seen.
	ExitUnseen = 2
	// ExitError says that the command could not be carried out, as for an API server that does not answer.
	ExitError = 3
	// ExitUsage says that the command line is not understood.
	ExitUsage = 4
)

// exitCodes is the list for a command's help.
const exitCodes = `Exit codes:

    0  it works
    1  it does not; the output says why
    2  not all of it could be seen, such as for a permission that is missing
    3  the command could not be carried out; the error is on standard error
    4  the command line is not understood`

// exitError ends the program with a code. Without an error there is nothing to print: the output says it.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit is how a command ends with a code and an output that says why.
func exit(code int) error {
	if code == ExitWorks {
		return nil
	}
	return &exitError{code: code}
}

// usage is an error in the command line.
func usage(format string, arguments ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, arguments...)}
}

// asFailure gives an error of a command the code of one that could not be carried out, unless it has a code.
func asFailure(err error) error {
	var coded *exitError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return &exitError{code: ExitError, err: err}
}

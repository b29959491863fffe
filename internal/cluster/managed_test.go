// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// stored is the Secret as the operator writes it.
func stored(token Token) map[string][]byte {
	return map[string][]byte{TokenKey: []byte(token.Value), TokenHashKey: []byte(token.Hash)}
}

// TestToken: it is made once, and anew where its Secret is deleted or its hash is that of another.
func TestToken(t *testing.T) {
	s := &Source{}
	next := func(data map[string][]byte) Token {
		t.Helper()
		token, err := s.tokenOf(data)
		if err != nil {
			t.Fatal(err)
		}
		if bcrypt.CompareHashAndPassword([]byte(token.Hash), []byte(token.Value)) != nil {
			t.Errorf("the hash is not that of the token")
		}
		return token
	}
	first := next(nil)
	if again := next(nil); again != first {
		t.Error("another one is made before the cache shows the first")
	}
	if again := next(stored(first)); again != first {
		t.Error("the stored one is not used")
	}
	second := next(nil)
	if second == first {
		t.Error("the Secret is deleted, and the token stays")
	}
	if again := next(stored(second)); again != second {
		t.Error("the second is not used")
	}
	if edited := next(stored(Token{Value: "mine", Hash: second.Hash})); edited == second || edited.Value == "mine" {
		t.Errorf("an edited Secret gives %q", edited.Value)
	}
	// A restart reads what is stored.
	s = &Source{}
	if again := next(stored(second)); again != second {
		t.Error("a restart makes another")
	}
}

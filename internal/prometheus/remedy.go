// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"bytes"
	"cmp"
	"net/http"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func (a Access) method() v1alpha1.QueryMethod { return cmp.Or(a.Method, v1alpha1.QueryGET) }

func (a Access) otherMethod() v1alpha1.QueryMethod {
	if a.method() == v1alpha1.QueryGET {
		return v1alpha1.QueryPOST
	}
	return v1alpha1.QueryGET
}

// The fields of credentials, as messages name them.
const (
	fieldToken   = "spec.prometheus.auth.bearerToken"
	fieldBasic   = "spec.prometheus.auth.basicAuth"
	fieldHeaders = "spec.prometheus.auth.headers"
	fieldClient  = "spec.prometheus.tls.clientCert"
)

// remedy says which field an answer 401 or 403 is about.
func (a Access) remedy(response *http.Response, body []byte) string {
	demanded := demanded(response)
	switch {
	case response.Header.Get("X-Amzn-Requestid") != "" || response.Header.Get("X-Amzn-Errortype") != "":
		return "and is a service of AWS, which wants each request signed (SigV4); query it through a proxy that signs, at spec.prometheus.url " +
			"or, in the adapter's pod, at spec.prometheus.adapterURL"
	case bytes.Contains(body, []byte("no org id")):
		return "and wants the id of a tenant; name it in " + fieldHeaders + ", as X-Scope-OrgID"
	case !a.presents():
		return "and no credentials are presented; set " + cmp.Or(demanded, fieldToken+", "+fieldBasic+", "+fieldHeaders+" or "+fieldClient)
	case response.StatusCode == http.StatusForbidden:
		return "to the credentials of spec.prometheus; allow their owner to query, or name others in " + a.fields()
	case demanded != "" && !strings.Contains(a.fields(), demanded):
		return "to the credentials of " + a.fields() + ", and demands others; set " + demanded
	default:
		return "to the credentials of spec.prometheus; put valid ones where " + a.fields() + " leads to"
	}
}

// demanded is the field of what an answer demands; empty where it does not say.
func demanded(response *http.Response) string {
	scheme, _, _ := strings.Cut(response.Header.Get("WWW-Authenticate"), " ")
	switch strings.ToLower(scheme) {
	case "basic":
		return fieldBasic
	case "bearer":
		return fieldToken
	default:
		return ""
	}
}

// fields are those of what is presented.
func (a Access) fields() string {
	var set []string
	for _, presented := range []struct {
		field string
		is    bool
	}{
		{fieldToken, len(a.Token) > 0}, {fieldBasic, len(a.Username) > 0}, {fieldHeaders, len(a.Headers) > 0}, {fieldClient, len(a.ClientCert) > 0},
	} {
		if presented.is {
			set = append(set, presented.field)
		}
	}
	return strings.Join(set, " or ")
}

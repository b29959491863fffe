// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// CertificateProvider is who issues the serving certificates.
//
// +kubebuilder:validation:Enum=Auto;CertManager;BuiltIn
type CertificateProvider string

const (
	// CertificatesAuto is CertManager where its CRDs are served, else BuiltIn.
	CertificatesAuto CertificateProvider = "Auto"
	// CertificatesCertManager has cert-manager issue them.
	CertificatesCertManager CertificateProvider = "CertManager"
	// CertificatesBuiltIn has the operator issue them from an authority of its own.
	CertificatesBuiltIn CertificateProvider = "BuiltIn"
)

// CertificatesSpec says who issues the serving certificates of the backends, by which the API server knows them.
//
// +kubebuilder:validation:XValidation:rule="!has(self.issuerRef) || !has(self.provider) || self.provider != 'BuiltIn'",message="issuerRef names an issuer of cert-manager, which the provider BuiltIn does not use: leave issuerRef unset, or set provider to CertManager"
// +kubebuilder:validation:XValidation:rule="!has(self.renewBefore) || !has(self.duration) || duration(self.renewBefore) < duration(self.duration)",message="renewBefore must be less than duration, or a certificate would be due for renewal when it is issued: lower renewBefore, leave it unset, or raise duration"
type CertificatesSpec struct {
	// provider is Auto (default), CertManager or BuiltIn. Auto uses cert-manager where its CRDs are served, and the
	// operator's own authority elsewhere. A change of the provider is a rotation like any other: no request fails.
	// +optional
	// +kubebuilder:default=Auto
	Provider CertificateProvider `json:"provider,omitempty"`

	// issuerRef names an issuer of cert-manager to use instead of a self-signed authority of the pipeline's own. The
	// issuer must give its certificate authority (ca.crt) with what it issues. With issuerRef, Auto means CertManager.
	// +optional
	IssuerRef *IssuerReference `json:"issuerRef,omitempty"`

	// duration is the lifetime of a serving certificate, 1h to three years.
	// +optional
	// +kubebuilder:default="8760h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="duration must be at least 1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('26280h')",message="duration must be at most 26280h, three years: longer than that it could outlive the authority that signs it"
	Duration Duration `json:"duration,omitempty"`

	// renewBefore is how long before its end a serving certificate is renewed, at least 5m and less than duration.
	// Unset, or not less than the life that an issuer gave the certificate: a third of that life, which is duration unless the
	// issuer caps it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5m')",message="renewBefore must be at least 5m"
	RenewBefore Duration `json:"renewBefore,omitempty"`
}

// IssuerReference names an issuer of cert-manager, or of an external issuer of cert-manager.
type IssuerReference struct {
	// group of the issuer.
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// kind of the issuer: Issuer (default), which must be in the operator's namespace, ClusterIssuer, or a kind of group.
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name of the issuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

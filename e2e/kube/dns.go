package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/template"
)

// CoreDNS with the plugins that the cluster's Corefile names. What they need is nearly all here already; CoreDNS by itself,
// with the libraries of three clouds, takes four minutes more to build.
func init() {
	// In the order in which they see a question.
	dnsserver.Directives = []string{"bind", "errors", "template", "kubernetes"}
}

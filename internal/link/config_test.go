// SPDX-License-Identifier: MIT

package link_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

func TestValidateNamesTheURLAndSaysWhatToDo(t *testing.T) {
	for _, tc := range []struct {
		url  string
		how  link.Transport
		want string
	}{
		{"tcp://h:9009", link.Auto, `scheme "tcp" is not supported: use http or https`},
		{"localhost:9000", link.Auto, `scheme "localhost" is not supported`},
		{"http::addr=h:9000;password=hunter2;", link.Auto, "connect string"},
		{"http://joe:hunter2@h:9000", link.Auto, "http://h:9000 carries credentials: use the options"},
		{"http://joe:hunter2@h:port", link.Auto, "not a valid URL"},
		{"http://", link.Auto, "no host"},
		{"http://h:9000/?token=hunter2", link.Auto, "has a query"},
		{"ws://h:9000", link.ILP, "ws://h:9000 speaks QWP only, but transport is ilp"},
	} {
		c := config("http://first", tc.url)
		c.Transport = tc.how
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "urls[1]") {
			t.Errorf("%s: %v, want urls[1] and %q", tc.url, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", tc.url, err)
		}
	}
}

func TestValidateRefusesZeroAndNegativeSettings(t *testing.T) {
	for name, spoil := range map[string]func(*link.Config){
		"urls is empty":     func(c *link.Config) { c.URLs = nil },
		"transport 0":       func(c *link.Config) { c.Transport = 0 },
		"compression 9":     func(c *link.Config) { c.Compression = 9 },
		"needs QWP, but tr": func(c *link.Config) { c.Transport, c.RequestDurableAck = link.ILP, true },
		"must not be negat": func(c *link.Config) { c.RequestTimeout = -1 },
	} {
		c := config("http://h")
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
		if _, err := link.New(c); err == nil {
			t.Errorf("New accepts what Validate refuses: %s", name)
		}
	}
}

func TestNamesReadBack(t *testing.T) {
	for _, s := range []string{"auto", "qwp", "ilp"} {
		if v, err := link.ParseTransport(s); err != nil || v.String() != s {
			t.Errorf("%s reads as %v, %v", s, v, err)
		}
	}
	for _, s := range []string{"auto", "gzip", "none"} {
		if v, err := link.ParseCompression(s); err != nil || v.String() != s {
			t.Errorf("%s reads as %v, %v", s, v, err)
		}
	}
	if _, err := link.ParseTransport("tcp"); err == nil {
		t.Error("tcp is taken for a transport")
	}
	if _, err := link.ParseCompression("zstd"); err == nil {
		t.Error("zstd is taken for a compression")
	}
}

func TestAuthRefusesContradictionsWithoutShowingThem(t *testing.T) {
	for _, a := range []link.Auth{
		{Username: "joe", Token: "hunter2"},
		{Password: "hunter2"},
		{Username: "hunter2:joe"},
		{Token: "hunter2\n"},
	} {
		err := a.Validate()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if s := fmt.Sprintf("%v %+v %#v", a, a, a); strings.Contains(s, "hunter2") {
			t.Errorf("printing shows the secret: %s", s)
		}
	}
}

// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/influxdata/telegraf/config"
	commontls "github.com/influxdata/telegraf/plugins/common/tls"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// auth reads the secrets anew, because stores may rotate them.
func (o *Output) auth() (sfpool.Auth, error) {
	var a sfpool.Auth
	for _, s := range []struct {
		option string
		secret *config.Secret
		dst    *string
	}{{"token", &o.Token, &a.Token}, {"username", &o.Username, &a.Username}, {"password", &o.Password, &a.Password}} {
		v, err := reveal(s.secret)
		if err != nil {
			return a, fmt.Errorf("read %s from its secret store: %w", s.option, err)
		}
		*s.dst = v
	}
	return a, nil
}

func reveal(s *config.Secret) (string, error) {
	if s.Empty() {
		return "", nil
	}
	buf, err := s.Get()
	if err != nil {
		return "", err
	}
	defer buf.Destroy()
	return strings.Clone(buf.String()), nil // the buffer is wiped
}

// tls reads the files anew, because certificates are renewed.
func (o *Output) tls() (*tls.Config, error) {
	return (*commontls.ClientConfig)(&o.TLSOptions).TLSConfig()
}

// processKey makes digests of one process comparable among themselves, and of no
// use to anybody else. It is made once, so that blocks agree on it.
var processKey = []byte(rand.Text())

// fingerprint has a line "option=digest" for each option on which blocks that
// share a store have to agree. It shows what differs, never a value. Which store
// it is, sf_dir and sender_id, is not part of it.
func (o *Output) fingerprint() string {
	var b strings.Builder
	v := reflect.ValueOf(&o.Options).Elem()
	rows, _ := v.Type().FieldByName("RowOptions")
	shown, _ := v.Type().FieldByName("StatusOptions")
	for _, f := range reflect.VisibleFields(v.Type()) {
		name := f.Tag.Get("toml")
		if name == "" || name == "sf_dir" || name == "sender_id" || f.Index[0] == rows.Index[0] || f.Index[0] == shown.Index[0] {
			continue
		}
		fmt.Fprintf(&b, "%s=%s\n", name, digest(name, valueText(v.FieldByIndex(f.Index).Addr().Interface())))
	}
	return b.String()
}

// valueText is a text of its own for each value. A secret that cannot be read
// now is no reason not to connect, and is taken as no secret.
func valueText(v any) string {
	if s, ok := v.(*config.Secret); ok {
		text, _ := reveal(s)
		return text
	}
	text, _ := json.Marshal(v) // strings, numbers and lists of them
	return string(text)
}

func digest(name, text string) string {
	h := hmac.New(sha256.New, processKey)
	fmt.Fprintf(h, "%s=%s", name, text)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

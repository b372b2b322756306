// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/influxdata/telegraf/config"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

// Telegraf's shim reads a block with another decoder than Telegraf itself.
func TestTheDecoderOfTheShimReadsEveryKindOfOption(t *testing.T) {
	text := block("https://127.0.0.1:9000", "/x", `username = "u"`, `password = "secret"`, `tls_ca = "/ca.pem"`, `insecure_skip_verify = true`,
		`http_proxy_url = "http://proxy:3128"`, `ram_max_bytes = "64MiB"`, `lock_timeout = "3s"`, `sender_pool_max = 2`,
		`symbol_exclude = ["id*"]`, `exactly_once = true`, `table_prefix = "p_"`)
	o := questdb_sf.New()
	var conf struct {
		Outputs map[string][]toml.Primitive `toml:"outputs"`
	}
	md, err := toml.Decode(text, &conf)
	require.NoError(t, err)
	require.NoError(t, md.PrimitiveDecode(conf.Outputs["questdb_sf"][0], o))
	require.Empty(t, md.Undecoded())
	require.NoError(t, o.Init())
	require.Equal(t, "/ca.pem", o.TLSCA)
	require.True(t, o.InsecureSkipVerify)
	require.Equal(t, "http://proxy:3128", o.HTTPProxyURL)
	require.Equal(t, config.Size(64<<20), o.RAMMaxBytes)
	require.Equal(t, config.Duration(3*time.Second), o.LockTimeout)
	require.Equal(t, []string{"id*"}, o.SymbolExclude)
	require.True(t, o.ExactlyOnce)
	require.Equal(t, "p_", o.TablePrefix)
	require.Equal(t, "default", o.SenderID)
	set, err := o.Password.EqualTo([]byte("secret"))
	require.NoError(t, err)
	require.True(t, set)
}

// SPDX-License-Identifier: MIT

//go:build unix

package browser_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/testutil/browser"
)

func TestThePageSaysThatItIsOldWhileTheAgentHangs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b := start(ctx, t)
	p := b.open(ctx, t, browser.Look{})
	require.NoError(t, p.Wait(ctx, `document.querySelector("time").textContent.endsWith(new Date().toLocaleString(undefined, {timeZoneName: "short"}).split(" ").pop())`), "the zone")
	require.NoError(t, b.p.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = b.p.Signal(syscall.SIGCONT) })
	require.NoError(t, p.Wait(ctx, `document.querySelector("#now.bad[role=alert]").textContent.includes("what is shown is old: as of")`), "by itself")
	require.NoError(t, p.Wait(ctx, `document.querySelector(".old .pill").textContent === "was healthy"`))
	require.NoError(t, p.Wait(ctx, `getComputedStyle(document.querySelector(".pill")).color === getComputedStyle(document.querySelector("h3")).color`), "it is grey")
	require.NoError(t, b.p.Signal(syscall.SIGCONT))
	require.NoError(t, p.Wait(ctx, `!document.querySelector(".old, #now.bad") && document.querySelector(".pill").textContent === "healthy"`))
	require.NoError(t, b.p.Finish(ctx))
}

func TestThePageKeepsThePlaceOfWhoReadsIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b := start(ctx, t, trouble)
	p := b.open(ctx, t, browser.Look{Width: 360, Height: 800})
	again := func() {
		require.NoError(t, p.Eval(ctx, `document.querySelector(".scroll").dataset.before = 1`, new(any)))
		require.NoError(t, p.Wait(ctx, `!document.querySelector(".scroll").dataset.before`), "it is renewed by itself")
	}
	require.NoError(t, p.Wait(ctx, `document.getElementById("figures-0-incidents")`))
	var place struct {
		ID   string
		Left int
	}
	require.NoError(t, p.Eval(ctx, `document.getElementById("figures-0-incidents").focus(), document.activeElement.scrollLeft = 40`, new(any)))
	again()
	require.NoError(t, p.Eval(ctx, `({id: document.activeElement.id, left: document.activeElement.scrollLeft})`, &place))
	require.Equal(t, "figures-0-incidents", place.ID)
	require.Equal(t, 40, place.Left)

	var text string
	require.NoError(t, p.Eval(ctx, `getSelection().selectAllChildren(document.querySelector(".says p")), String(getSelection())`, &text))
	require.Contains(t, text, "nothing is pending")
	require.NoError(t, p.Wait(ctx, `document.querySelector("#now.bad[role=status]").textContent.startsWith("it waits while text is marked; what is shown is old: as of")`))
	var still string
	require.NoError(t, p.Eval(ctx, `String(getSelection())`, &still))
	require.Equal(t, text, still)
	require.NoError(t, p.Eval(ctx, `getSelection().removeAllRanges()`, new(any)))
	require.NoError(t, p.Wait(ctx, `!document.querySelector("#now.bad")`))
	require.NoError(t, b.p.Finish(ctx))
}

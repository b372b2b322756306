// SPDX-License-Identifier: MIT

//go:build !linux

package store

// osFaults are those that only this system has a number for.
var osFaults []fault

module github.com/questdb-sf/questdb_sf

go 1.26

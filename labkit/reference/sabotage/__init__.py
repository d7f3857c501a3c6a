"""The reference platform with one faulty part each: what every check has to be able to notice."""

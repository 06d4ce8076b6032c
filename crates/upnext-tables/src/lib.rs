//! upnext-tables.

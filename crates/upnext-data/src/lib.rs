//! upnext-data.

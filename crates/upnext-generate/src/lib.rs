//! upnext-generate.

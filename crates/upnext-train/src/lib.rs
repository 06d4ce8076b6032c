//! upnext-train.

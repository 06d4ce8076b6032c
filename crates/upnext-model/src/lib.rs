//! upnext-model.

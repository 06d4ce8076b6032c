//! upnext-eval.

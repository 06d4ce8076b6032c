//! upnext-kernels.

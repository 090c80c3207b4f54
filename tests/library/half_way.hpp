#pragma once

// Functions that the host exports, and plugins call.
extern "C" {

/// Called in the middle of an entry.
void half_way();

/// Called when the library of this plugin is closed, by the destructor of a static object.
void closes(const char* plugin);

}

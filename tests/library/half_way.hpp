#pragma once

/// The host exports it; plugins call it in the middle of their entries.
extern "C" void half_way();

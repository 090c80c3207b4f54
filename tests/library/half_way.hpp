#pragma once

/// The host exports this function. Plugins call it in the middle of their entries.
extern "C" void half_way();

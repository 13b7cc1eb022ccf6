
#include <eml_net.h>
static const float mynet_layer_0_biases[1] = { -1.419014f };
static const float mynet_layer_0_weights[3] = { 1.457230f, 1.164075f, 1.535590f };
static const float mynet_layer_1_biases[1] = { -3.358785f };
static const float mynet_layer_1_weights[1] = { 1.493588f };
static float mynet_buf1[3];
static float mynet_buf2[3];
static const EmlNetLayer mynet_layers[2] = { 
{ 1, 3, mynet_layer_0_weights, mynet_layer_0_biases, EmlNetActivationRelu }, 
{ 1, 1, mynet_layer_1_weights, mynet_layer_1_biases, EmlNetActivationLogistic } };
static EmlNet mynet = { 2, mynet_layers, mynet_buf1, mynet_buf2, 3 };

    int32_t
    mynet_predict(const float *features, int32_t n_features)
    {
        return eml_net_predict(&mynet, features, n_features);
    }
    

    int32_t
    mynet_regress(const float *features, int32_t n_features, float *out, int32_t out_length)
    {
        return eml_net_regress(&mynet, features, n_features, out, out_length);
    }
    

    float
    mynet_regress1(const float *features, int32_t n_features)
    {
        return eml_net_regress1(&mynet, features, n_features);
    }
    
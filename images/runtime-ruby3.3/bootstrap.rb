# frozen_string_literal: true

# The program of a Ruby function: loads the handler that is named, and hands it one event after the other.

require_relative 'lambda_runtime/log'
require_relative 'lambda_runtime/runtime'

LambdaRuntime::Log.set_up
exit LambdaRuntime::Runtime.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API')).run(ARGV.fetch(0))
